"""A WebSocket's life: its handshake, its messages in and out, its end.

The reader never waits for the handler: messages are posted into a bounded
mailbox, so that pings are answered whatever the handler does, and a peer that
sends faster than it is served loses its socket. A peer that is gone, half
closed or silent ends `Socket.receive` with `SocketClosed`.
"""

from __future__ import annotations

import contextlib
import logging
import typing

import trio
from quart_trio.asgi import TrioASGIWebsocketConnection
from typing_extensions import override

from paddler.balancer.http_edge.errors import OriginRefused, SocketClosed
from paddler.balancer.http_edge.handlers import EdgeHost, SocketHandler
from paddler.balancer.http_edge.streaming import AsgiReceive, AsgiSend, send_socket_refusal
from paddler.concurrency.mailbox import Mailbox, MailboxClosed, MailboxFull

logger = logging.getLogger(__name__)

MAX_WAITING_MESSAGES = 4096
"""Messages a peer may be ahead of its handler."""

NORMAL = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013

_MAX_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame's payload is at most 125 bytes.


class Socket:
    """An open WebSocket, as handlers get it.

    One task receives; one sends. `gone` is set when the peer is gone, and
    `stopping` when the service stops.
    """

    def __init__(self, send: AsgiSend, stopping: trio.Event) -> None:
        self._send = send
        self._inbound: Mailbox[str | bytes] = Mailbox(MAX_WAITING_MESSAGES)
        self._taken: list[str | bytes] = []
        self.stopping = stopping
        self.gone = trio.Event()
        self.closed = False

    async def receive(self) -> str | bytes:
        """The next message: str for a text frame, bytes for a binary one.

        Raises:
            SocketClosed: There is none and there will be none.
        """
        if not self._taken:
            try:
                self._taken = await self._inbound.take()
            except MailboxClosed:
                raise SocketClosed("the peer is gone") from None
            self._taken.reverse()
        return self._taken.pop()

    async def send(self, message: str | bytes) -> None:
        """Send one message, waiting while the peer does not read.

        Raises:
            SocketClosed: The peer is gone, also if it stopped reading.
        """
        if self.closed:
            raise SocketClosed("the peer is gone")
        field = "text" if isinstance(message, str) else "bytes"
        await self._send({"type": "websocket.send", field: message})

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Send a close frame, once; `reason` is cut to what fits."""
        if self.closed:
            return
        self.closed = True
        cut_reason = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        await self._send({"type": "websocket.close", "code": code, "reason": cut_reason})

    async def read(self, receive: AsgiReceive) -> None:
        """Post what arrives until the peer is gone; the edge runs this."""
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                break
            if event["type"] != "websocket.receive":
                continue
            text = event.get("text")
            message = text if text is not None else event.get("bytes")
            try:
                self._inbound.post(typing.cast("str | bytes", message))
            except MailboxFull:
                self._inbound.close()
                self.gone.set()
                await self.close(POLICY_VIOLATION, "too many messages wait to be handled")
                return
        self.closed = True
        self._inbound.close()
        self.gone.set()


class SocketConnection(TrioASGIWebsocketConnection):
    """Quart's `asgi_websocket_class`: runs one WebSocket."""

    @override
    async def __call__(self, receive: AsgiReceive, send: AsgiSend) -> None:
        host = typing.cast("EdgeHost", self.app)
        websocket = self._create_websocket_from_scope(send)
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            origin = websocket.headers.get("Origin")
            if not host.cors.allows_socket(origin, websocket.headers.get("Host")):
                raise OriginRefused(origin or "")
            handler, arguments = host.socket_handler(websocket)
        except Exception as error:  # the request's boundary: converted, logged if unknown
            await send_socket_refusal(send, host.error_answer(error, path=websocket.path))
            return
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        socket = Socket(send, host.stopping)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(socket.read, receive)
            await _handle(handler, socket, arguments, websocket.path)
            nursery.cancel_scope.cancel()


async def _handle(
    handler: SocketHandler, socket: Socket, arguments: dict[str, object], path: str
) -> None:
    """Run `handler` and close the socket; errors are logged here and go no further."""
    code, reason = NORMAL, ""
    try:
        with contextlib.suppress(SocketClosed):
            await handler(socket, **arguments)
    except Exception:  # the socket's boundary
        logger.exception("socket_failed path=%s", path)
        code, reason = INTERNAL_ERROR, "internal error"
    if socket.stopping.is_set() and code == NORMAL:
        code, reason = GOING_AWAY, "the balancer is shutting down"
    await socket.close(code, reason)
