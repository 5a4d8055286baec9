"""WebSockets at the HTTP edge, with real clients and a real clock."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncGenerator

import pytest
import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    wrap_client_stream,
)

from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.errors import SocketClosed
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.sockets import Socket
from tests.support.edge_servers import RunningEdge, running_edge
from tests.support.waiting import until


class Echo:
    """Sends back what it gets; tells when it ended."""

    def __init__(self) -> None:
        self.opened = trio.Event()
        self.ended = trio.Event()

    async def serve(self, opened_socket: Socket) -> None:
        self.opened.set()
        try:
            while True:
                await opened_socket.send(await opened_socket.receive())
        finally:
            self.ended.set()

    def routes(self, app: EdgeApp) -> None:
        app.add_socket_route("/echo", self.serve)


@contextlib.asynccontextmanager
async def open_socket(edge: RunningEdge) -> AsyncGenerator[WebSocketConnection, None]:
    """A client's end; its stream is closed with the edge."""
    async with trio.open_nursery() as nursery:
        yield await connect_over(await edge.connect(), nursery)
        nursery.cancel_scope.cancel()


async def connect_over(stream: trio.SocketStream, nursery: trio.Nursery) -> WebSocketConnection:
    return await wrap_client_stream(nursery, stream, "127.0.0.1", "/echo")


async def test_messages_of_both_kinds_come_back() -> None:
    async with running_edge(Echo().routes) as edge, open_socket(edge) as client:
        for message in ("text ü", b"bytes", "", "x" * 300_000):
            await client.send_message(message)
            assert await client.get_message() == message


async def test_a_socket_on_an_unknown_path_is_refused_with_404() -> None:
    async with running_edge(Echo().routes) as edge:
        assert await edge.shake_hands("/other") == 404


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (None, True),
        ("https://app.example", True),
        ("http://127.0.0.1", True),
        ("https://evil.example", False),
        ("https://app.example.evil.example", False),
        ("null", False),
    ],
)
async def test_pages_of_other_origins_open_no_socket(origin: str | None, is_allowed: bool) -> None:
    cors = CorsPolicy(frozenset({"https://app.example"}))
    async with running_edge(Echo().routes, cors=cors) as edge:
        if origin == "http://127.0.0.1":
            origin = f"http://127.0.0.1:{edge.port}"
        status = await edge.shake_hands(
            "/echo", {"Host": f"127.0.0.1:{edge.port}", **({"Origin": origin} if origin else {})}
        )
        assert status == (101 if is_allowed else 403)


@pytest.mark.parametrize(
    "headers",
    [{"Sec-WebSocket-Version": "12"}, {"Sec-WebSocket-Key": ""}, {"Connection": "upgrade, x"}],
    ids=lambda headers: next(iter(headers)),
)
async def test_a_bad_handshake_ends_its_connection_and_nothing_else(
    headers: dict[str, str],
) -> None:
    limits = EdgeLimits(socket_ping_interval_s=0.05, socket_silence_s=0.2, linger_s=0.1)
    async with running_edge(Echo().routes, limits=limits) as edge:
        await edge.shake_hands("/echo", headers)
        with trio.fail_after(2):
            await edge.until_nobody_is_connected()
        async with open_socket(edge) as client:
            await client.send_message("still served")
            assert await client.get_message() == "still served"


async def test_a_client_that_closes_ends_its_handler() -> None:
    echo = Echo()
    async with running_edge(echo.routes) as edge:
        async with open_socket(edge) as client:
            await echo.opened.wait()
            await client.aclose()
        with trio.fail_after(1):
            await echo.ended.wait()
            await edge.until_nobody_is_connected()


@pytest.mark.parametrize("how", ["half closes", "resets"])
async def test_a_client_that_vanishes_ends_its_handler(how: str) -> None:
    echo = Echo()
    async with running_edge(echo.routes) as edge, trio.open_nursery() as nursery:
        stream = await edge.connect()
        client = await connect_over(stream, nursery)
        await client.send_message("hello")
        await echo.opened.wait()
        if how == "half closes":
            stream.socket.shutdown(socket.SHUT_WR)
        else:
            linger_none = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
            stream.socket.close()
        with trio.fail_after(1):
            await echo.ended.wait()
        nursery.cancel_scope.cancel()


async def test_a_client_that_answers_no_ping_is_gone_after_a_while() -> None:
    limits = EdgeLimits(socket_ping_interval_s=0.1, socket_silence_s=0.3, unwinding_s=0.2)
    echo = Echo()
    async with running_edge(echo.routes, limits=limits) as edge:
        assert await edge.shake_hands("/echo") == 101
        await echo.opened.wait()
        with trio.fail_after(2):
            await echo.ended.wait()
            await edge.until_nobody_is_connected()


async def test_a_client_that_answers_pings_may_be_quiet() -> None:
    limits = EdgeLimits(socket_ping_interval_s=0.05, socket_silence_s=0.15)
    async with (
        running_edge(Echo().routes, limits=limits) as edge,
        open_socket(edge) as client,
    ):
        await trio.sleep(0.6)
        await client.send_message("still here")
        assert await client.get_message() == "still here"


async def test_a_message_above_the_limit_ends_the_socket() -> None:
    echo = Echo()
    async with running_edge(echo.routes, limits=EdgeLimits(max_message_bytes=1000)) as edge:
        async with open_socket(edge) as client:
            await client.send_message("x" * 1001)
            with pytest.raises(ConnectionClosed):
                await client.get_message()
        with trio.fail_after(2):
            await echo.ended.wait()


async def test_messages_that_nobody_handles_end_the_socket() -> None:
    ended = trio.Event()

    async def busy(opened_socket: Socket) -> None:
        await until(lambda: opened_socket.closed)
        with pytest.raises(SocketClosed):
            await receive_for_ever(opened_socket)
        ended.set()

    async def receive_for_ever(opened_socket: Socket) -> None:
        while True:
            await opened_socket.receive()

    async def send_for_ever(client: WebSocketConnection) -> None:
        while True:
            await client.send_message("x")

    async with running_edge(lambda app: app.add_socket_route("/echo", busy)) as edge:
        async with open_socket(edge) as client:
            with pytest.raises(ConnectionClosed) as closed:
                await send_for_ever(client)
            assert closed.value.reason is not None
            assert closed.value.reason.code == 1008
        with trio.fail_after(2):
            await ended.wait()


async def test_a_handler_that_fails_closes_its_socket_with_an_internal_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(opened_socket: Socket) -> None:
        raise RuntimeError("the real error")

    async with (
        running_edge(lambda app: app.add_socket_route("/echo", fail)) as edge,
        open_socket(edge) as client,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            await client.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1011
    assert "the real error" in caplog.text


async def test_a_stopping_service_says_that_it_goes_away() -> None:
    async def until_stopping(opened_socket: Socket) -> None:
        await opened_socket.stopping.wait()

    async with (
        running_edge(lambda app: app.add_socket_route("/echo", until_stopping)) as edge,
        open_socket(edge) as client,
    ):
        edge.app.stopping.set()
        with trio.fail_after(2), pytest.raises(ConnectionClosed) as closed:
            await client.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1001
        with trio.fail_after(2):
            await edge.until_nobody_is_connected()
