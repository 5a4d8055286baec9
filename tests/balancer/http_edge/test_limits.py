"""What a client may do before the edge stops listening to it."""

from __future__ import annotations

import dataclasses

import pytest
import trio

from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.errors import AddressInUse, ListenFailed
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.serving.listeners import ListenAddress, open_listeners
from paddler.balancer.http_edge.streaming import (
    Answer,
    SendChunk,
    StreamedAnswer,
    json_answer,
    text_answer,
)
from tests.support.edge_servers import (
    RunningEdge,
    read_all,
    read_head,
    request_bytes,
    running_edge,
)
from tests.support.waiting import until

IMPATIENT = EdgeLimits(
    header_read_timeout_s=0.3,
    body_read_timeout_s=0.3,
    keep_alive_timeout_s=0.3,
    linger_s=0.1,
    max_body_bytes=1000,
    max_header_bytes=2048,
)


async def count_bytes(request: EdgeRequest) -> Answer:
    return json_answer(len(request.content))


def routes(app: EdgeApp) -> None:
    app.add_route("POST", "/count", count_bytes)


async def status_of(edge: RunningEdge, request: bytes) -> bytes:
    client = await edge.connect()
    await client.send_all(request)
    head, _ = await read_head(client)
    await client.aclose()
    return head.split(b"\r\n")[0]


async def test_a_client_that_dribbles_its_headers_is_cut_off() -> None:
    async with running_edge(routes, limits=IMPATIENT) as edge:
        client = await edge.connect()

        async def dribble() -> None:
            for byte in request_bytes("/count", headers={"X": "y" * 1000}):
                await client.send_all(bytes([byte]))
                await trio.sleep(0.02)

        with trio.fail_after(2), pytest.raises(trio.BrokenResourceError):
            await dribble()


async def test_a_client_that_says_nothing_is_cut_off() -> None:
    async with running_edge(routes, limits=IMPATIENT) as edge:
        client = await edge.connect()
        with trio.fail_after(2):
            assert await read_all(client) == b""


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    async with running_edge(routes, limits=IMPATIENT) as edge:
        client = await edge.connect()
        await client.send_all(request_bytes("/count", "POST", b"abc"))
        with trio.fail_after(2):
            answer = await read_all(client)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"3")


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with running_edge(routes) as edge:
        client = await edge.connect()
        for n_bytes in range(1, 20):
            await client.send_all(request_bytes("/count", "POST", b"x" * n_bytes))
            assert await read_head(client) != (b"", b"")


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with running_edge(routes) as edge:
        client = await edge.connect()
        requests = b"".join(
            request_bytes("/count", "POST", b"x" * n_bytes) for n_bytes in range(1, 9)
        )
        await client.send_all(requests)
        received = b""
        while received.count(b"HTTP/1.1 200") < 8 or not received.endswith(b"\r\n\r\n8"):
            received += await client.receive_some()
        bodies = [part.split(b"HTTP")[0] for part in received.split(b"\r\n\r\n")[1:]]
        assert bodies == [b"%d" % n_bytes for n_bytes in range(1, 9)]


async def test_a_client_that_dribbles_its_body_is_told_and_cut_off() -> None:
    async with running_edge(routes, limits=IMPATIENT) as edge:
        head = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
        with trio.fail_after(2):
            assert await status_of(edge, head) == b"HTTP/1.1 408 "


async def test_a_body_announced_too_large_is_refused() -> None:
    async with running_edge(routes, limits=IMPATIENT) as edge:
        request = request_bytes("/count", "POST", b"x" * 1001)
        assert await status_of(edge, request) == b"HTTP/1.1 413 "


async def test_a_body_that_turns_out_too_large_is_refused() -> None:
    async with running_edge(routes, limits=IMPATIENT) as edge:
        head = b"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"200\r\n" + b"x" * 0x200 + b"\r\n"
        assert await status_of(edge, head + 3 * body) == b"HTTP/1.1 413 "


async def test_a_client_that_still_sends_gets_its_413_all_the_same() -> None:
    limits = dataclasses.replace(IMPATIENT, linger_s=2.0)
    async with running_edge(routes, limits=limits) as edge:
        client = await edge.connect()
        await client.send_all(
            b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 100_000
        )
        await client.send_all(b"x" * 2_000_000)
        head, _ = await read_head(client)
        assert head.startswith(b"HTTP/1.1 413")


async def test_headers_above_the_limit_are_refused() -> None:
    async with running_edge(routes, limits=IMPATIENT) as edge:
        request = request_bytes("/count", headers={"X": "y" * 4000})
        assert (await status_of(edge, request)).startswith(b"HTTP/1.1 4")


async def test_connections_above_the_limit_get_503() -> None:
    async with running_edge(routes, limits=EdgeLimits(max_connections=2)) as edge:
        clients = [await edge.connect() for _ in range(2)]
        for client in clients:
            await client.send_all(request_bytes("/count", "POST", b"x"))
            await read_head(client)
        assert await status_of(edge, b"") == b"HTTP/1.1 503 Service Unavailable"
        await clients[0].aclose()
        await until(lambda: edge.server.n_connections < 2)
        request = request_bytes("/count", "POST", b"x")
        assert await status_of(edge, request) == b"HTTP/1.1 200 "


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01", b"nonsense\r\n\r\n", b"\0" * 99])
async def test_garbage_ends_its_connection_and_nothing_else(garbage: bytes) -> None:
    async with running_edge(routes, limits=IMPATIENT) as edge:
        client = await edge.connect()
        await client.send_all(garbage)
        with trio.fail_after(2):
            await read_all(client)
        request = request_bytes("/count", "POST", b"x")
        assert await status_of(edge, request) == b"HTTP/1.1 200 "


async def test_a_stopping_service_closes_idle_connections_and_finishes_answers() -> None:
    async def until_told(request: EdgeRequest) -> StreamedAnswer:
        async def write(send: SendChunk) -> None:
            await send(b"begun")
            await edge.app.stopping.wait()
            await send(b"told")

        return StreamedAnswer(write=write)

    def both_routes(app: EdgeApp) -> None:
        routes(app)
        app.add_route("GET", "/stream", until_told)

    async with running_edge(both_routes) as edge:
        idle, busy = await edge.connect(), await edge.connect()
        await idle.send_all(request_bytes("/count", "POST", b"x"))
        await read_head(idle)
        await busy.send_all(request_bytes("/stream"))
        await read_head(busy)
        edge.app.stopping.set()
        with trio.fail_after(1):
            assert await read_all(idle) == b""
            assert (await read_all(busy)).endswith(b"told\r\n0\r\n\r\n")
            with pytest.raises(OSError, match="refused"):
                await edge.connect()


async def test_a_request_that_does_not_end_is_cut_when_the_service_stops() -> None:
    async def never(request: EdgeRequest) -> Answer:
        await trio.sleep_forever()
        return text_answer("never")

    limits = EdgeLimits(stop_timeout_s=0.2)
    async with running_edge(lambda app: app.add_route("GET", "/", never), limits=limits) as edge:
        client = await edge.connect()
        await client.send_all(request_bytes("/"))
        await until(lambda: edge.server.n_connections)
        edge.app.stopping.set()
        with trio.fail_after(1):
            await edge.until_nobody_is_connected()


async def test_an_address_in_use_names_flag_and_address() -> None:
    limits = EdgeLimits()
    first = await open_listeners(ListenAddress("--a", "127.0.0.1", 0), limits)
    port = first.addresses[0][1]
    with pytest.raises(AddressInUse, match=f"--b: cannot listen on 127.0.0.1:{port}"):
        await open_listeners(ListenAddress("--b", "127.0.0.1", port), limits)
    first.close()


async def test_a_name_that_does_not_resolve_names_flag_and_address() -> None:
    with pytest.raises(ListenFailed, match=r"--b: cannot listen on no\.such.host\.invalid:1"):
        await open_listeners(ListenAddress("--b", "no.such.host.invalid", 1), EdgeLimits())


async def test_a_head_request_gets_the_head_alone() -> None:
    async def hello(request: EdgeRequest) -> Answer:
        return text_answer("hello")

    async with running_edge(lambda app: app.add_route("GET", "/hello", hello)) as edge:
        client = await edge.connect()
        await client.send_all(request_bytes("/hello", "HEAD", headers={"Connection": "close"}))
        head, body = await read_head(client)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"content-length: 5" in head
        assert (body, await read_all(client)) == (b"", b"")
