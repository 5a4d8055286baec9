"""PyPI's `openai` client: its errors, retries, timeouts, and clients that leave."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.support.openai_clients import MODEL, async_client_of, client_of, run
from tests.support.real_programs import RealBalancer, gemma_state, programs

pytestmark = pytest.mark.model

HELLO = [{"role": "user", "content": "Hello"}]
LONG = {"model": MODEL, "messages": HELLO, "max_tokens": 800, "extra_body": {"ignore_eos": True}}


@pytest.fixture(scope="module")
def tight(real_model_path: Path) -> Iterator[RealBalancer]:
    """One slot and no buffer."""
    with programs() as started:
        balancer = started.balancer("--compat-openai-addr=127.0.0.1:0", "--max-buffered-requests=0")
        started.agent(balancer.management_address, slots=1)
        balancer.put_state(gemma_state(real_model_path))
        balancer.wait_for_slots(1)
        yield balancer


@pytest.fixture
def client(tight: RealBalancer) -> Iterator[openai.OpenAI]:
    with client_of(tight.url("openai")) as opened:
        yield opened


def occupy(client: openai.OpenAI) -> openai.Stream[object]:
    """Take the slot with a long stream; it holds it once this returns."""
    stream = client.chat.completions.create(**LONG, stream=True)  # type: ignore[call-overload]  # a test's
    assert isinstance(stream, openai.Stream)
    next(iter(stream))
    return stream


def test_errors_are_the_clients_own_types(client: openai.OpenAI, tight: RealBalancer) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=MODEL, messages=HELLO, temperature=-1)  # type: ignore[arg-type]  # a test's
    assert bad.value.param == "temperature"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-4", messages=HELLO)  # type: ignore[arg-type]  # a test's
    assert unknown.value.code == "model_not_found"
    for is_stream in (False, True):
        with pytest.raises(openai.BadRequestError) as long:
            client.completions.create(model=MODEL, prompt="word " * 2000, stream=is_stream)
        assert long.value.code == "context_length_exceeded"
    with (
        client_of(tight.url("openai"), max_retries=5) as persistent,
        pytest.raises(openai.InternalServerError) as disabled,
    ):
        persistent.embeddings.create(model=MODEL, input="a")
    assert disabled.value.status_code == 501


def test_a_refused_request_is_not_repeated_for_nothing(tight: RealBalancer) -> None:
    began = time.monotonic()
    with (
        client_of(tight.url("openai"), max_retries=5) as persistent,
        pytest.raises(openai.InternalServerError),
    ):
        persistent.embeddings.create(model=MODEL, input="a")
    assert time.monotonic() - began < 0.5


def test_the_client_comes_back_when_the_fleet_was_busy(
    client: openai.OpenAI, tight: RealBalancer
) -> None:
    stream = occupy(client)
    with pytest.raises(openai.InternalServerError) as busy:
        client.chat.completions.create(model=MODEL, messages=HELLO)  # type: ignore[arg-type]  # a test's
    assert busy.value.status_code == 503
    assert busy.value.response.headers["Retry-After"] == "1"
    leaves = threading.Timer(0.3, stream.close)
    leaves.start()
    with client_of(tight.url("openai"), max_retries=3) as patient:
        answer = patient.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=2)  # type: ignore[arg-type]  # a test's
    assert answer.choices[0].message.content
    leaves.join()


def test_closing_a_stream_frees_the_slot(client: openai.OpenAI, tight: RealBalancer) -> None:
    stream = occupy(client)
    assert tight.total("slots_processing") == 1
    stream.close()
    tight.wait_until_idle(2)


def test_a_request_whose_client_lost_patience_frees_the_slot(tight: RealBalancer) -> None:
    with (
        client_of(tight.url("openai"), timeout=0.3) as impatient,
        pytest.raises(openai.APITimeoutError),
    ):
        impatient.chat.completions.create(**LONG)  # type: ignore[call-overload]  # a test's
    tight.wait_until_idle(2)


def test_a_cancelled_task_frees_the_slot(tight: RealBalancer) -> None:
    async def work() -> None:
        async with async_client_of(tight.url("openai")) as client:
            request = client.chat.completions.create(**LONG)  # type: ignore[call-overload]  # a test's
            task = asyncio.create_task(request)
            while not await asyncio.to_thread(tight.total, "slots_processing"):
                pass
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(work())
    tight.wait_until_idle(2)


def test_several_choices_are_served_by_one_slot_without_a_buffer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, n=3, max_tokens=3)  # type: ignore[arg-type]  # a test's
    assert len(answer.choices) == 3
