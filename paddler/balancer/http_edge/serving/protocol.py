"""hypercorn's HTTP/1.1 protocol, with what it lets a client get away with taken away.

No upgrade to HTTP/2 (nothing here needs its larger surface), no compression of
WebSocket messages (tokens are too short to gain by it, and it costs time per
token and memory per socket), and a WebSocket message above the limit ends the
connection instead of being collected for ever.
"""

from __future__ import annotations

import h11
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import H11SendableEvent
from typing_extensions import override
from wsproto.events import Ping

from paddler.balancer.http_edge.limits import EdgeLimits

_EXTENSIONS = b"sec-websocket-extensions"


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

    @property
    def is_socket(self) -> bool:
        """Whether the connection became a WebSocket."""
        return isinstance(self.stream, WSStream)

    async def ping(self) -> None:
        """Send a WebSocket ping, unless the socket is closing."""
        if isinstance(self.stream, WSStream):
            await self.stream._send_wsproto_event(Ping())

    @override
    async def handle(self, event: Event) -> None:
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
            data = self.connection.send(event)
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
    async def _check_protocol(self, event: h11.Request) -> None:
        """Offer no other protocol."""

    @override
    async def _create_stream(self, request: h11.Request) -> None:
        if any(name == _EXTENSIONS for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=[header for header in request.headers if header[0] != _EXTENSIONS],
                http_version=request.http_version,
            )
        await super()._create_stream(request)
