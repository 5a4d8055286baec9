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
from typing_extensions import override

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
    config.websocket_ping_interval = limits.socket_ping_interval_s
    return config


class EdgeProtocol(H11Protocol):
    """One connection's protocol state."""

    @property
    def is_socket(self) -> bool:
        """Whether the connection became a WebSocket."""
        return isinstance(self.stream, WSStream)

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
