"""Clients that leave, stall or read a byte now and then: real processes, the real model."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio

from tests.support.line_clients import LineClient, asking
from tests.support.real_programs import RealBalancer, gemma_state, programs

pytestmark = pytest.mark.model

RAW = "/api/v1/continue_from_raw_prompt"
# Longer than any limit below: whatever ends earlier was ended.
LONG = {"raw_prompt": "Once upon a time", "max_tokens": 8000}
LIMIT_S = 240.0
CUT_OFF_WITHIN_S = 60.0
FREED_WITHIN_S = 5.0
WRITE_TIMEOUT_MS = 1000
TINY_BUFFER_BYTES = 4096


@pytest.fixture(scope="module")
def balancer(real_model_path: Path) -> Iterator[RealBalancer]:
    """A balancer with an agent of one slot, and little patience with readers."""
    with programs() as running:
        balancer = running.balancer(
            "--buffered-request-timeout=100000", f"--write-timeout={WRITE_TIMEOUT_MS}"
        )
        running.agent(balancer.management_address)
        balancer.put_state(gemma_state(real_model_path, context_size=8192))
        balancer.wait_for_slots(1)
        yield balancer


@pytest.fixture(autouse=True)
def idle(balancer: RealBalancer) -> Iterator[None]:
    """Each test leaves slot and buffer as it found them."""
    yield
    balancer.wait_until_idle(FREED_WITHIN_S)
    assert balancer.n_buffered() == 0


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(LIMIT_S):
        while not await trio.to_thread.run_sync(condition):
            await trio.lowlevel.checkpoint()


async def slot_is_freed(balancer: RealBalancer) -> None:
    await trio.to_thread.run_sync(balancer.wait_until_idle, FREED_WITHIN_S)


async def test_a_client_that_leaves_the_buffer_leaves_no_trace(balancer: RealBalancer) -> None:
    async with asking(balancer.inference_url, RAW, LONG) as running:
        await running.result()
        async with asking(balancer.inference_url, RAW, LONG):
            await until(lambda: balancer.n_buffered() == 1)
        await until(lambda: balancer.n_buffered() == 0)
        # Nobody else was disturbed, and the slot was not handed to the one who left.
        assert "ContentToken" in await running.result()
    await slot_is_freed(balancer)


@pytest.mark.parametrize("n_words", [0, 1000], ids=["while decoding", "while prefilling"])
async def test_a_client_that_leaves_frees_its_slot(balancer: RealBalancer, n_words: int) -> None:
    body = {**LONG, "raw_prompt": "Once" + " word" * n_words}
    async with asking(balancer.inference_url, RAW, body) as client:
        await client.read_head()
        if n_words == 0:
            await client.result()
        assert await trio.to_thread.run_sync(balancer.total, "slots_processing") == 1
    await slot_is_freed(balancer)


async def reads_nothing(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def reads_a_byte_now_and_then(stream: trio.SocketStream) -> None:
    data = b"first"
    while data:
        data = await stream.receive_some(1)
        await trio.sleep(0.2)


async def slow_client(balancer: RealBalancer) -> trio.SocketStream:
    """A connection on which a long answer comes, and that takes hardly any of it."""
    host, _, port = balancer.inference_url.removeprefix("http://").rpartition(":")
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_BUFFER_BYTES)
    await sock.connect((host, int(port)))
    stream = trio.SocketStream(sock)
    client = LineClient(stream)
    await client.ask(RAW, json.dumps(LONG).encode())
    await client.read_head()
    await client.result()
    return stream


@pytest.mark.parametrize("reading", [reads_nothing, reads_a_byte_now_and_then])
async def test_a_client_that_does_not_read_is_cut_off_and_its_slot_is_freed(
    balancer: RealBalancer, reading: Callable[[trio.SocketStream], Awaitable[None]]
) -> None:
    stream = await slow_client(balancer)
    async with stream, trio.open_nursery() as nursery:

        async def read() -> None:
            try:
                await reading(stream)
            except trio.BrokenResourceError:
                await trio.sleep_forever()

        nursery.start_soon(read)
        # It reads nothing once its own buffer is full; the limit counts from there.
        with trio.fail_after(CUT_OFF_WITHIN_S):
            while await trio.to_thread.run_sync(balancer.total, "slots_processing"):
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
        rest = b""
        try:
            while data := await stream.receive_some():
                rest += data
        except trio.BrokenResourceError:
            pass
        assert b"Done" not in rest
    await served_as_ever(balancer)


async def served_as_ever(balancer: RealBalancer) -> None:
    with trio.fail_after(LIMIT_S):
        body = {"raw_prompt": "One", "max_tokens": 4}
        async with asking(balancer.inference_url, RAW, body) as client:
            assert "Done" in (await client.rest())[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_clients_that_do_not_read_delay_no_end(
    real_model_path: Path, number: signal.Signals
) -> None:
    with programs() as running:
        balancer = running.balancer("--buffered-request-timeout=100000")
        running.agent(balancer.management_address)
        balancer.put_state(gemma_state(real_model_path, context_size=8192))
        await trio.to_thread.run_sync(balancer.wait_for_slots, 1)
        async with await slow_client(balancer), asking(balancer.inference_url, RAW, LONG):
            await until(lambda: balancer.n_buffered() == 1)
            code, duration_s = await trio.to_thread.run_sync(balancer.stop, number)
        assert (code, duration_s < 5) == (0, True), balancer.log
