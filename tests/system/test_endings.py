"""SIGINT and SIGTERM end both programs within 5 s with exit code 0, whatever they do.

What must not be left behind – sockets, temporary files, child processes – is
checked by `programs` itself.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio

from paddler.messages.state import ModelReference, UrlModel
from tests.support.file_server import head
from tests.support.line_clients import asking
from tests.support.real_programs import (
    LOAD_TIMEOUT_S,
    START_TIMEOUT_S,
    Program,
    Programs,
    gemma_state,
    programs,
    wait_for,
)

pytestmark = [
    pytest.mark.model,
    pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM]),
]

RAW = "/api/v1/continue_from_raw_prompt"
LIMIT_S = 240.0
NOBODY = "127.0.0.1:1"


@pytest.fixture
def started() -> Iterator[Programs]:
    with programs() as running:
        yield running


def ends_in_order(program: Program, number: signal.Signals) -> None:
    code, duration_s = program.stop(number)
    assert (code, duration_s < 5) == (0, True), program.log


def test_a_balancer_with_nothing_to_do(started: Programs, number: signal.Signals) -> None:
    ends_in_order(started.balancer(), number)


def test_an_agent_that_finds_no_balancer(started: Programs, number: signal.Signals) -> None:
    agent = started.agent(NOBODY)
    wait_for(lambda: agent.has_logged("link_waits"), START_TIMEOUT_S, "the first attempt")
    ends_in_order(agent, number)


def test_an_agent_that_loads_a_model(
    started: Programs, real_model_path: Path, number: signal.Signals
) -> None:
    balancer = started.balancer()
    agent = started.agent(balancer.management_address)
    balancer.put_state(gemma_state(real_model_path))
    wait_for(lambda: agent.has_logged("state_told"), START_TIMEOUT_S, "the state")
    ends_in_order(agent, number)
    ends_in_order(balancer, number)


async def test_an_agent_that_downloads_a_model(
    started: Programs, tmp_path: Path, number: signal.Signals
) -> None:
    asked = trio.Event()

    async def serve_the_beginning(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(head(200, Content_Length=1 << 30) + b"GGUF" * 4096)
            asked.set()
            while await stream.receive_some():
                pass

    balancer = await trio.to_thread.run_sync(started.balancer)
    agent = started.agent(balancer.management_address, PADDLER_CACHE_DIR=str(tmp_path))
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            serve = functools.partial(trio.serve_tcp, serve_the_beginning, 0, host="127.0.0.1")
            (listener,) = await nursery.start(serve)
            url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/model.gguf"
            state = msgspec.structs.replace(
                gemma_state(tmp_path), model=ModelReference(Url=UrlModel(url))
            )
            await trio.to_thread.run_sync(balancer.put_state, state)
            await asked.wait()
            await trio.to_thread.run_sync(ends_in_order, agent, number)
            nursery.cancel_scope.cancel()


async def test_both_while_streams_run_and_requests_wait(
    started: Programs, real_model_path: Path, number: signal.Signals
) -> None:
    balancer = await trio.to_thread.run_sync(started.balancer, "--buffered-request-timeout=100000")
    agent = started.agent(balancer.management_address, slots=2)
    balancer.put_state(gemma_state(real_model_path))
    await trio.to_thread.run_sync(balancer.wait_for_slots, 2)
    endings: list[str] = []

    async def ask(streams: bool, *, task_status: trio.TaskStatus[None]) -> None:
        body = {"raw_prompt": "Once upon a time", "max_tokens": 900}
        async with asking(balancer.inference_url, RAW, body) as client:
            if streams:
                await client.result()
            task_status.started()
            endings.append((await client.rest())[-1])
            assert client.status == (200 if streams else 503)

    with trio.fail_after(LOAD_TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(ask, True)
            await nursery.start(ask, True)
            await nursery.start(ask, False)
            while await trio.to_thread.run_sync(balancer.n_buffered) != 1:
                await trio.lowlevel.checkpoint()
            # The agent first: its requests go back to the buffer, where they end.
            await trio.to_thread.run_sync(ends_in_order, agent, number)
            await trio.to_thread.run_sync(ends_in_order, balancer, number)
    assert len(endings) == 3
    assert all('"code":503' in ending for ending in endings)
