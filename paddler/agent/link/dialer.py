"""Opens the WebSocket that a link runs on, and leaves nothing of it behind.

trio-websocket's own `open_websocket` waits for ever for a peer that accepts
the connection and then says nothing, and leaves the TCP socket to the garbage
collector when the peer closes first or refuses. So the stream is ours: opened
here, closed here, and the handshake has a deadline that holds.

Nursery: one per connection, with trio-websocket's reader in it.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import trio
import trio_websocket

from paddler.agent.settings import AgentSettings
from paddler.messages.link import MAX_FRAME_BYTES

__all__ = ["Dialer", "websocket_dialer"]

_MESSAGE_QUEUE_SIZE = 64
_RECEIVE_BUFFER_BYTES = 65_536

Dialer: TypeAlias = Callable[[], AbstractAsyncContextManager[trio_websocket.WebSocketConnection]]
"""Opens a connection for the length of a block.

Raises `HandshakeError` if there is none, and on leaving the block only what was
raised inside it.
"""

_Stream: TypeAlias = trio.SocketStream | trio.SSLStream[trio.SocketStream]


def websocket_dialer(
    settings: AgentSettings, agent_id: str, *, tls: ssl.SSLContext | None = None
) -> Dialer:
    """Dial the management service's agent socket over TCP, with TLS if asked."""
    path = f"/api/v1/agent_socket/{agent_id}"

    @contextlib.asynccontextmanager
    async def dial() -> AsyncGenerator[trio_websocket.WebSocketConnection, None]:
        deadline = trio.current_time() + settings.connect_timeout_s
        stream = await _open_stream(settings, tls, deadline)
        try:
            async with _websocket(stream, settings, path, deadline) as connection:
                yield connection
        finally:
            await trio.aclose_forcefully(stream)

    return dial


async def _open_stream(
    settings: AgentSettings, tls: ssl.SSLContext | None, deadline: float
) -> _Stream:
    host, port = settings.management_host, settings.management_port
    with trio.CancelScope(deadline=deadline):
        try:
            if tls is None:
                return await trio.open_tcp_stream(host, port)
            return await trio.open_ssl_over_tcp_stream(
                host, port, ssl_context=tls, https_compatible=True
            )
        except OSError as error:
            raise trio_websocket.HandshakeError from error
    raise trio_websocket.ConnectionTimeout


@contextlib.asynccontextmanager
async def _websocket(
    stream: _Stream, settings: AgentSettings, path: str, deadline: float
) -> AsyncGenerator[trio_websocket.WebSocketConnection, None]:
    """A WebSocket over `stream`; closed with its handshake, if the peer plays along."""
    host = settings.management_host
    host = f"[{host}]" if ":" in host else host
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            connection: trio_websocket.WebSocketConnection | None = None
            # What goes wrong is kept out of the nursery, which would wrap it in a group.
            try:
                connection = await _shake_hands(
                    nursery, stream, f"{host}:{settings.management_port}", path, deadline
                )
                yield connection
            except Exception as error:
                failure = error
            if connection is not None:
                with trio.move_on_after(settings.disconnect_timeout_s):
                    await connection.aclose()
            nursery.cancel_scope.cancel()
    except* trio_websocket.HandshakeError as refused:  # of the reader
        failure = _first(refused)
    if failure is not None:
        raise failure


async def _shake_hands(
    nursery: trio.Nursery, stream: _Stream, host: str, path: str, deadline: float
) -> trio_websocket.WebSocketConnection:
    with trio.CancelScope(deadline=deadline):
        return await trio_websocket.wrap_client_stream(
            nursery,
            stream,
            host,
            path,
            message_queue_size=_MESSAGE_QUEUE_SIZE,
            max_message_size=MAX_FRAME_BYTES,
            receive_buffer_size=_RECEIVE_BUFFER_BYTES,
        )
    raise trio_websocket.ConnectionTimeout


def _first(group: BaseExceptionGroup[trio_websocket.HandshakeError]) -> Exception:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
