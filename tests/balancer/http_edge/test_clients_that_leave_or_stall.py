"""The traps of the HTTP edge, each run against real sockets with a real clock."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

import pytest
import trio

from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.streaming import (
    Answer,
    SendChunk,
    StreamedAnswer,
    text_answer,
)
from tests.support.edge_servers import read_all, read_head, request_bytes, running_edge

WRITE_TIMEOUT_S = 0.4
SMALL_BUFFERS = EdgeLimits(write_timeout_s=WRITE_TIMEOUT_S, send_buffer_bytes=8192)


class Lease:
    """Held by a task of a request's nursery, as a slot lease is."""

    def __init__(self) -> None:
        self.taken = trio.Event()
        self.released = trio.Event()

    async def hold(self, *, task_status: trio.TaskStatus[None]) -> None:
        self.taken.set()
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self.released.set()


def endless_stream(lease: Lease, chunk: bytes = b"x" * 4096) -> Callable[[EdgeApp], None]:
    async def handler(request: EdgeRequest) -> StreamedAnswer:
        await request.nursery.start(lease.hold)

        async def write(send: SendChunk) -> None:
            while True:
                await send(chunk)

        return StreamedAnswer(write=write)

    return lambda app: app.add_route("GET", "/stream", handler)


def waits_in_a_buffer(lease: Lease) -> Callable[[EdgeApp], None]:
    async def handler(request: EdgeRequest) -> Answer:
        await request.nursery.start(lease.hold)
        await trio.sleep_forever()
        raise AssertionError

    return lambda app: app.add_route("GET", "/wait", handler)


def silent_after_the_headers(lease: Lease) -> Callable[[EdgeApp], None]:
    async def handler(request: EdgeRequest) -> StreamedAnswer:
        await request.nursery.start(lease.hold)

        async def write(send: SendChunk) -> None:
            await trio.sleep_forever()

        return StreamedAnswer(write=write)

    return lambda app: app.add_route("GET", "/silent", handler)


async def test_a_client_that_stops_reading_is_cut_off() -> None:
    lease = Lease()
    async with running_edge(endless_stream(lease), limits=SMALL_BUFFERS) as edge:
        client = await edge.connect(receive_buffer_bytes=4096)
        await client.send_all(request_bytes("/stream"))
        await lease.taken.wait()
        with trio.fail_after(5 * WRITE_TIMEOUT_S):
            await lease.released.wait()
            await edge.until_nobody_is_connected()
        await client.aclose()


async def test_a_client_that_reads_a_byte_now_and_then_is_cut_off() -> None:
    lease = Lease()
    async with running_edge(endless_stream(lease), limits=SMALL_BUFFERS) as edge:
        client = await edge.connect(receive_buffer_bytes=4096)
        await client.send_all(request_bytes("/stream"))
        with trio.fail_after(5 * WRITE_TIMEOUT_S):
            while not lease.released.is_set():
                await client.receive_some(1)
                await trio.sleep(0.02)
        await client.aclose()


async def test_a_client_that_reads_slowly_but_steadily_is_served() -> None:
    async def handler(request: EdgeRequest) -> StreamedAnswer:
        async def write(send: SendChunk) -> None:
            for _ in range(40):
                await send(b"x" * 4096)

        return StreamedAnswer(write=write)

    async with running_edge(
        lambda app: app.add_route("GET", "/stream", handler), limits=SMALL_BUFFERS
    ) as edge:
        client = await edge.connect(receive_buffer_bytes=4096)
        await client.send_all(request_bytes("/stream", headers={"Connection": "close"}))
        n_bytes = 0
        while data := await client.receive_some(8192):
            n_bytes += data.count(b"x")
            await trio.sleep(0.01)
        assert n_bytes == 40 * 4096
        await client.aclose()


@pytest.mark.parametrize(
    ("routes", "path"),
    [(waits_in_a_buffer, "/wait"), (silent_after_the_headers, "/silent")],
    ids=["while buffered", "before the first byte of the body"],
)
@pytest.mark.parametrize("pipelined", [b"", b"\r\n", b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_client_that_leaves_releases_its_lease_at_once(
    routes: Callable[[Lease], Callable[[EdgeApp], None]], path: str, pipelined: bytes
) -> None:
    lease = Lease()
    async with running_edge(routes(lease)) as edge:
        client = await edge.connect()
        await client.send_all(request_bytes(path) + pipelined)
        await lease.taken.wait()
        await client.aclose()
        with trio.fail_after(1):
            await lease.released.wait()
            await edge.until_nobody_is_connected()


async def test_a_client_that_leaves_while_streaming_releases_its_lease_at_once() -> None:
    lease = Lease()
    async with running_edge(endless_stream(lease)) as edge:
        client = await edge.connect()
        await client.send_all(request_bytes("/stream"))
        await read_head(client)
        await client.aclose()
        with trio.fail_after(1):
            await lease.released.wait()
            await edge.until_nobody_is_connected()


async def test_a_client_that_resets_its_connection_releases_its_lease_at_once() -> None:
    lease = Lease()
    async with running_edge(waits_in_a_buffer(lease)) as edge:
        client = await edge.connect()
        await client.send_all(request_bytes("/wait"))
        await lease.taken.wait()
        linger_none = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
        await client.aclose()
        with trio.fail_after(1):
            await lease.released.wait()


async def test_quarts_response_timeout_cuts_no_stream() -> None:
    async def handler(request: EdgeRequest) -> StreamedAnswer:
        async def write(send: SendChunk) -> None:
            for _ in range(5):
                await send(b"token")
                await trio.sleep(0.05)

        return StreamedAnswer(write=write)

    def routes(app: EdgeApp) -> None:
        app.config["RESPONSE_TIMEOUT"] = 0.01
        app.add_route("GET", "/stream", handler)

    async with running_edge(routes) as edge:
        client = await edge.connect()
        await client.send_all(request_bytes("/stream", headers={"Connection": "close"}))
        assert (await read_all(client)).count(b"token") == 5
        await client.aclose()


async def test_an_error_that_comes_together_with_a_cancellation_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    waits = trio.Event()

    async def fail_when_cancelled() -> None:
        try:
            waits.set()
            await trio.sleep_forever()
        finally:
            raise RuntimeError("the real error")

    async def handler(request: EdgeRequest) -> Answer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(trio.sleep_forever)
        return text_answer("never")

    with caplog.at_level(logging.ERROR):
        async with running_edge(lambda app: app.add_route("GET", "/fail", handler)) as edge:
            client = await edge.connect()
            await client.send_all(request_bytes("/fail"))
            await waits.wait()
            await client.aclose()
            await edge.until_nobody_is_connected()
    assert "the real error" in caplog.text


async def test_tokens_are_not_delayed_by_nagles_algorithm() -> None:
    async def handler(request: EdgeRequest) -> StreamedAnswer:
        async def write(send: SendChunk) -> None:
            for _ in range(10):
                await send(b"token")
                await trio.sleep(0.002)

        return StreamedAnswer(write=write)

    async with running_edge(lambda app: app.add_route("GET", "/stream", handler)) as edge:
        # On a busy machine some attempts are slow; with Nagle's algorithm all are.
        durations: list[float] = []
        while len(durations) < 50 and min(durations, default=1.0) >= 0.035:
            client = await edge.connect()
            # A client that delays its ACKs: with Nagle's algorithm the next
            # token would wait for them, some 40 ms each time.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            began = time.perf_counter()
            await client.send_all(request_bytes("/stream", headers={"Connection": "close"}))
            await read_all(client)
            durations.append(time.perf_counter() - began)
            await client.aclose()
        assert min(durations) < 0.035
