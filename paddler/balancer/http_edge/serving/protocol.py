"""hypercorn's HTTP/1.1 protocol, with what it lets a client get away with taken away.

No upgrade to HTTP/2 (nothing here needs its larger surface), no compression of
WebSocket messages (tokens are too short to gain by it, and it costs time per
token and memory per socket), and a WebSocket message above the limit ends the
connection instead of being collected for ever.

A request that is refused here, before any service has seen it, gets an answer
that says why, and the connection ends. `docs/decisions/` lists which of
hypercorn's internals are touched.
"""

from __future__ import annotations

import http

import h11
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h11 import H11Protocol, H11WSConnection
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import H11SendableEvent
from typing_extensions import override
from wsproto.events import Ping

from paddler.balancer.http_edge.limits import EdgeLimits

_EXTENSIONS = b"sec-websocket-extensions"

_REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}

_REFUSALS = {
    400: "this is not a request of HTTP/1.1, or says in two ways how long it is",
    431: "the head of the request is larger than {max_header_bytes} bytes",
    501: "the only transfer encoding is chunked",
}
"""What a client is told of h11's verdicts."""


def hypercorn_config(limits: EdgeLimits) -> Config:
    """hypercorn's configuration for `limits`; it logs nothing itself."""
    config = Config()
    config.errorlog = None
    config.accesslog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.max_header_bytes
    config.keep_alive_max_requests = 1_000_000_000
    config.websocket_max_message_size = limits.max_message_bytes
    config.websocket_ping_interval = None  # `Connection` pings, but only silent peers
    return config


class EdgeProtocol(H11Protocol):
    """One connection's protocol state.

    The head of an answer whose length is known leaves together with its body.
    """

    _held_head = b""
    _is_head = False
    _n_received = 0
    _n_before_head = 0

    @property
    def is_socket(self) -> bool:
        """Whether the connection became a WebSocket, or was asked to."""
        return isinstance(self.connection, H11WSConnection)

    async def ping(self) -> None:
        """Send a WebSocket ping, unless the socket is not open yet or closing."""
        stream = self.stream
        if isinstance(stream, WSStream) and stream.state is ASGIWebsocketState.CONNECTED:
            await stream._send_wsproto_event(Ping())

    @override
    async def handle(self, event: Event) -> None:
        if isinstance(event, RawData):
            self._n_received += len(event.data)
        await super().handle(event)
        stream = self.stream
        if (
            isinstance(event, RawData)
            and isinstance(stream, WSStream)
            and stream.buffer.length > stream.buffer.max_length
        ):
            await self.send(Closed())

    @override
    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        try:
            data = self.connection.send(_with_reason(event))
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response) and any(
            name == b"content-length" for name, _ in event.headers
        ):
            self._held_head = data
            return
        data = self._held_head + (data or b"")
        self._held_head = b""
        if data:
            await self.send(RawData(data=data))

    @override
    async def _send_error_response(self, status_code: int) -> None:
        text = _REFUSALS.get(status_code, _REFUSALS[400])
        body = text.format(max_header_bytes=self.config.h11_max_incomplete_size).encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        if not self._is_head:
            await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())

    @override
    async def _check_protocol(self, event: h11.Request) -> None:
        """Offer no other protocol."""

    @override
    async def _create_stream(self, request: h11.Request) -> None:
        self._is_head = request.method == b"HEAD"
        refusal = self._refusal_of(request)
        if refusal is not None:
            await self._send_error_response(refusal)
            await self.send(Closed())
            return
        if any(name == _EXTENSIONS for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=[header for header in request.headers if header[0] != _EXTENSIONS],
                http_version=request.http_version,
            )
        await super()._create_stream(request)
        if isinstance(self.stream, WSStream) and self.stream.closed:
            await self.send(Closed())  # hypercorn refused the handshake, and does nothing more

    @override
    async def _maybe_recycle(self) -> None:
        await super()._maybe_recycle()
        self._is_head = False
        self._n_before_head = self._n_consumed

    @property
    def _n_consumed(self) -> int:
        """Bytes that h11 has made events of."""
        return self._n_received - len(self.connection.trailing_data[0])

    def _refusal_of(self, request: h11.Request) -> int | None:
        """The status for a request that no service is to see; None if it is fine.

        h11 looks at the size of a head only while it is incomplete.
        """
        if self._n_consumed - self._n_before_head > self.config.h11_max_incomplete_size:
            return 431
        return 400 if _is_framed_doubtfully(request) else None


def _is_framed_doubtfully(request: h11.Request) -> bool:
    """Whether others on the way may see another end of the request (RFC 9112, 6.1 and 6.3)."""
    names = {name for name, _ in request.headers}
    if b"transfer-encoding" not in names:
        return False
    return b"content-length" in names or request.http_version < b"1.1"


def _with_reason(event: H11SendableEvent) -> H11SendableEvent:
    """`event` with the reason phrase of its status, which hypercorn leaves out."""
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        return event
    return type(event)(
        status_code=event.status_code,
        headers=event.headers,
        reason=_REASONS.get(event.status_code, b""),
    )
