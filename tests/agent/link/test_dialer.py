"""Dialling over real sockets: whoever is at the other end, nothing hangs and nothing is left.

Real clock, so every test is bounded.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import TypeAlias

import pytest
import trio
import trio_websocket

from paddler.agent.link.dialer import Dialer, websocket_dialer
from paddler.agent.settings import AgentSettings

DEADLINE_S = 10.0
TIMEOUT_S = 0.3
REJECTION = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n"

Peer: TypeAlias = Callable[[trio.SocketStream], Awaitable[None]]


@contextlib.asynccontextmanager
async def dialling(peer: Peer) -> AsyncGenerator[Dialer, None]:
    """A dialer whose connections are served by `peer`."""
    async with trio.open_nursery() as nursery:
        serve = functools.partial(trio.serve_tcp, peer, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        settings = AgentSettings(
            management_host="127.0.0.1",
            management_port=listener.socket.getsockname()[1],
            slots=1,
            connect_timeout_s=TIMEOUT_S,
            disconnect_timeout_s=TIMEOUT_S,
        )
        with trio.fail_after(DEADLINE_S):
            yield websocket_dialer(settings, "agent")
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No descriptor stays open, and none is closed by the garbage collector."""
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        left = set(os.listdir("/proc/self/fd")) - before
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert left == set()


async def says_nothing(stream: trio.SocketStream) -> None:
    async with stream:
        await trio.sleep_forever()


async def closes(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def speaks_another_protocol(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.send_all(b"SSH-2.0-OpenSSH_9.2\r\n")
        await trio.sleep_forever()


async def refuses(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.receive_some()
        await stream.send_all(REJECTION)
        await trio.sleep_forever()


@pytest.mark.parametrize("peer", [says_nothing, closes, speaks_another_protocol])
async def test_a_peer_that_is_no_balancer_is_given_up_in_time(peer: Peer) -> None:
    async with dialling(peer) as dial:
        began = trio.current_time()
        with pytest.raises(trio_websocket.HandshakeError):
            async with dial():
                pytest.fail("there is no connection")
        assert trio.current_time() - began < DEADLINE_S / 2


async def test_a_refusal_tells_its_status() -> None:
    async with dialling(refuses) as dial:
        with pytest.raises(trio_websocket.ConnectionRejected) as refused:
            async with dial():
                pytest.fail("there is no connection")
        assert refused.value.status_code == 404


async def test_nobody_there_is_told_as_the_cause() -> None:
    async with dialling(closes) as _:
        settings = AgentSettings(management_host="127.0.0.1", management_port=1, slots=1)
        with pytest.raises(trio_websocket.HandshakeError) as failed:
            async with websocket_dialer(settings, "agent")():
                pytest.fail("there is no connection")
        assert isinstance(failed.value.__cause__, OSError)


@contextlib.asynccontextmanager
async def welcoming(
    handler: Callable[[trio_websocket.WebSocketConnection], Awaitable[None]],
) -> AsyncGenerator[Dialer, None]:
    """A dialer that reaches a WebSocket server with `handler`."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream, trio.open_nursery() as nursery:
            request = await trio_websocket.wrap_server_stream(nursery, stream)
            assert request.path == "/api/v1/agent_socket/agent"
            await handler(await request.accept())
            nursery.cancel_scope.cancel()

    async with dialling(serve) as dial:
        yield dial


async def test_a_peer_that_closes_first_leaves_no_socket_behind() -> None:
    async def leave(connection: trio_websocket.WebSocketConnection) -> None:
        await connection.aclose(1000, "enough")

    async with welcoming(leave) as dial, dial() as connection:
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await connection.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.reason == "enough"


async def test_a_peer_that_breaks_off_leaves_no_socket_behind() -> None:
    async def vanish(connection: trio_websocket.WebSocketConnection) -> None:
        await connection._stream.aclose()

    async with welcoming(vanish) as dial:
        with pytest.raises(trio_websocket.ConnectionClosed):
            async with dial() as connection:
                await connection.get_message()


async def test_leaving_the_block_closes_in_order() -> None:
    codes: list[int] = []

    async def listen(connection: trio_websocket.WebSocketConnection) -> None:
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await connection.get_message()
        assert closed.value.reason is not None
        codes.append(closed.value.reason.code)

    async with welcoming(listen) as dial:
        async with dial() as connection:
            assert not connection.closed
        while not codes:
            await trio.lowlevel.checkpoint()
    assert codes == [1000]


async def test_a_peer_that_does_not_take_part_in_closing_is_left_in_time() -> None:
    async def ignore(connection: trio_websocket.WebSocketConnection) -> None:
        connection._reader_running = False
        await trio.sleep_forever()

    async with welcoming(ignore) as dial:
        began = trio.current_time()
        async with dial():
            pass
        assert trio.current_time() - began < DEADLINE_S / 2


async def test_cancelling_closes_the_socket() -> None:
    async def stay(connection: trio_websocket.WebSocketConnection) -> None:
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            await connection.get_message()

    async with welcoming(stay) as dial:
        with trio.move_on_after(0.05) as scope:
            async with dial():
                await trio.sleep_forever()
        assert scope.cancelled_caught


async def test_errors_of_the_block_come_out_as_they_are() -> None:
    async def stay(connection: trio_websocket.WebSocketConnection) -> None:
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            await connection.get_message()

    async with welcoming(stay) as dial:
        with pytest.raises(ValueError, match="of the block"):
            async with dial():
                raise ValueError("of the block")
