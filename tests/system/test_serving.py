"""How the system must behave: real processes, the real model, real sockets."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio
import trio.lowlevel
from trio_websocket import wrap_client_stream

from tests.support.line_clients import LineClient, asking
from tests.support.real_programs import (
    LOAD_TIMEOUT_S,
    Program,
    Programs,
    RealBalancer,
    gemma_state,
    programs,
    texts_of,
    wait_for,
)

pytestmark = pytest.mark.model

RAW = "/api/v1/continue_from_raw_prompt"
CONVERSATION = "/api/v1/continue_from_conversation_history"
LONG = {"raw_prompt": "Once upon a time", "max_tokens": 900}
LIMIT_S = 240.0


def short(number: int = 0) -> dict[str, object]:
    return {"raw_prompt": f"Number {number}:", "max_tokens": 6}


@pytest.fixture
def started() -> Iterator[Programs]:
    with programs() as running:
        yield running


@pytest.fixture
def fleet(shared_fleet: RealBalancer) -> RealBalancer:
    """The shared fleet, with nothing to do."""
    shared_fleet.wait_until_idle(LIMIT_S)
    return shared_fleet


@pytest.fixture(scope="module")
def shared_fleet(real_model_path: Path) -> Iterator[RealBalancer]:
    """A balancer with one agent of four slots, for tests that leave it as it was."""
    with programs() as running:
        balancer = running.balancer("--buffered-request-timeout=100000")
        running.agent(balancer.management_address, slots=4)
        balancer.put_state(gemma_state(real_model_path))
        balancer.wait_for_slots(4)
        yield balancer


async def in_thread_until_idle(balancer: RealBalancer, timeout_s: float) -> None:
    await trio.to_thread.run_sync(balancer.wait_until_idle, timeout_s)


async def test_a_conversation_is_answered(fleet: RealBalancer) -> None:
    body = {
        "conversation_history": [{"role": "user", "content": "Say hello."}],
        "add_generation_prompt": True,
        "enable_thinking": False,
        "max_tokens": 12,
    }
    with trio.fail_after(LIMIT_S):
        async with asking(fleet.inference_url, CONVERSATION, body) as client:
            lines = await client.rest()
    assert client.status == 200
    assert texts_of("\n".join(lines))
    assert "Done" in lines[-1]


async def test_ten_clients_on_four_slots_are_all_served_in_order(fleet: RealBalancer) -> None:
    begun: list[int] = []

    async def ask(number: int, sent: trio.Event) -> None:
        body = {**short(number), "max_tokens": 24}
        async with asking(fleet.inference_url, RAW, body) as client:
            sent.set()
            await client.result()
            begun.append(number)
            lines = await client.rest()
            assert client.status == 200
            assert "Done" in lines[-1]

    def all_taken(n_requests: int) -> bool:
        return fleet.total("slots_processing") + fleet.n_buffered() >= n_requests

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            for number in range(10):
                sent = trio.Event()
                nursery.start_soon(ask, number, sent)
                await sent.wait()
                while not begun and not await trio.to_thread.run_sync(all_taken, number + 1):
                    await trio.lowlevel.checkpoint()
    assert sorted(begun) == list(range(10))
    # Waiters are served in the order they came; those that run at once may mix.
    waited = [number for number in begun if number >= 4]
    assert all(abs(waited.index(number) - place) < 4 for place, number in enumerate(sorted(waited)))


async def test_a_vanished_socket_frees_all_its_slots(fleet: RealBalancer) -> None:
    host, _, port = fleet.inference_url.removeprefix("http://").rpartition(":")
    async with (
        await trio.open_tcp_stream(host, int(port)) as stream,
        trio.open_nursery() as nursery,
    ):
        path = "/api/v1/inference_socket"
        connection = await wrap_client_stream(nursery, stream, host, path)
        for number in range(4):
            request = {"id": str(number), "request": {"ContinueFromRawPrompt": LONG}}
            await connection.send_message(json.dumps({"Request": request}))
        with trio.fail_after(LIMIT_S):
            await connection.get_message()
        stream.socket.shutdown(socket.SHUT_WR)
        await in_thread_until_idle(fleet, 5.0)
        nursery.cancel_scope.cancel()


async def test_malformed_bodies_get_400_and_the_server_goes_on(fleet: RealBalancer) -> None:
    async with httpx.AsyncClient(timeout=LIMIT_S) as http:
        for content in ("", "{", "[]", '{"raw_prompt": 1}', '{"x": 1}'):
            answer = await http.post(fleet.inference_url + RAW, content=content)
            assert answer.status_code == 400
            assert answer.json()["Error"]["error"]["code"] == 400
        answer = await http.post(fleet.inference_url + RAW, json=short())
        assert answer.status_code == 200


async def test_a_prompt_that_is_too_long_is_refused_with_both_lengths(
    fleet: RealBalancer,
) -> None:
    body = {"raw_prompt": "word " * 5000, "max_tokens": 1}
    with trio.fail_after(LIMIT_S):
        async with asking(fleet.inference_url, RAW, body) as client:
            error = json.loads(await client.line())["Error"]["error"]
    assert error["code"] == 400
    assert "1024" in error["description"]


async def test_buffer_full_and_buffer_timeout_have_their_true_status(started: Programs) -> None:
    balancer = started.balancer("--max-buffered-requests=1", "--buffered-request-timeout=1500")
    async with httpx.AsyncClient(timeout=LIMIT_S) as http, trio.open_nursery() as nursery:
        statuses: list[int] = []

        async def ask() -> None:
            answer = await http.post(balancer.inference_url + RAW, json=short())
            statuses.append(answer.status_code)

        nursery.start_soon(ask)
        while await trio.to_thread.run_sync(balancer.n_buffered) != 1:
            await trio.lowlevel.checkpoint()
        await ask()
        assert statuses == [503]
    assert statuses == [503, 504]


async def test_a_balancer_started_first_holds_requests_for_the_agent_that_joins(
    started: Programs, real_model_path: Path
) -> None:
    balancer = started.balancer("--buffered-request-timeout=100000")
    balancer.put_state(gemma_state(real_model_path))
    async with httpx.AsyncClient(timeout=LIMIT_S) as http, trio.open_nursery() as nursery:
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answers.append(await http.post(balancer.inference_url + RAW, json=short()))

        nursery.start_soon(ask)
        while await trio.to_thread.run_sync(balancer.n_buffered) != 1:
            await trio.lowlevel.checkpoint()
        started.agent(balancer.management_address)
    assert answers[0].status_code == 200
    assert texts_of(answers[0].text)


async def test_an_agent_started_first_waits_and_joins(
    started: Programs, real_model_path: Path
) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    agent = started.agent(f"127.0.0.1:{port}")
    wait_for(lambda: agent.has_logged("link_not_opened"), 30, "the first attempt")
    balancer = started.balancer(management_port=port)
    balancer.put_state(gemma_state(real_model_path))
    await trio.to_thread.run_sync(balancer.wait_for_slots, 1)


async def test_a_balancer_that_is_stopped_tells_running_requests_why(
    started: Programs, real_model_path: Path
) -> None:
    balancer, agent = one_agent(started, real_model_path)
    async with asking(balancer.inference_url, RAW, LONG) as client:
        await first_token(client)
        code, duration_s = await stop_in_thread(balancer, signal.SIGTERM)
        last = json.loads((await client.rest())[-1])
    assert last["Error"]["error"]["code"] == 503
    assert (code, duration_s < 5) == (0, True)
    assert agent.process.poll() is None


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_an_agent_that_leaves_loses_no_request(
    started: Programs, real_model_path: Path, how: str
) -> None:
    balancer = started.balancer("--buffered-request-timeout=100000")
    agents = {
        name: started.agent(balancer.management_address, name=name) for name in ("one", "two")
    }
    balancer.put_state(gemma_state(real_model_path))
    await trio.to_thread.run_sync(balancer.wait_for_slots, 2)
    body = {**LONG, "max_tokens": 150}
    async with asking(balancer.inference_url, RAW, body) as client:
        with trio.fail_after(LIMIT_S):
            leaving = json.loads(await client.line())["Response"]["generated_by"]
            if how == "killed":
                agents[leaving].process.kill()
            else:
                code, duration_s = await stop_in_thread(agents[leaving], signal.SIGTERM)
                assert (code, duration_s < 5) == (0, True)
            last = json.loads((await client.rest())[-1])["Response"]
    del agents[leaving]
    assert {last["generated_by"]} == set(agents)
    usage = last["response"]["GeneratedToken"]["Done"]["usage"]
    assert 0 < usage["content_tokens"] <= 150


def one_agent(started: Programs, model: Path) -> tuple[RealBalancer, Program]:
    balancer = started.balancer("--buffered-request-timeout=100000")
    agent = started.agent(balancer.management_address, name="first")
    balancer.put_state(gemma_state(model))
    balancer.wait_for_slots(1)
    return balancer, agent


async def first_token(client: LineClient) -> None:
    with trio.fail_after(LOAD_TIMEOUT_S):
        await client.result()


async def stop_in_thread(program: Program, number: signal.Signals) -> tuple[int, float]:
    return await trio.to_thread.run_sync(program.stop, number)
