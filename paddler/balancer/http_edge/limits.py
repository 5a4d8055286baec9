"""What a client may do before the edge stops listening to it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class EdgeLimits:
    """Limits of one service's listeners.

    A client that reads too slowly is cut off by `write_timeout_s`: that is how
    long it may take to accept one piece (64 KiB or less) of what is sent to
    it. `socket_silence_s` is how long a WebSocket peer may send nothing, not
    even a pong to the pings sent every `socket_ping_interval_s`.

    Attributes:
        max_connections: Connections open at once; the next get 503.
        max_body_bytes: Largest request body; a larger one gets 413.
        max_header_bytes: Largest request head.
        max_message_bytes: Largest WebSocket message.
        header_read_timeout_s: From a request's first byte to its last header.
        body_read_timeout_s: From the last header to the end of the body.
        keep_alive_timeout_s: Between two requests of one connection.
        write_timeout_s: For the client to accept one piece of an answer.
        socket_ping_interval_s: Between two pings on a WebSocket.
        socket_silence_s: Without anything from a WebSocket peer.
        linger_s: For a client to read the end of a connection we close.
        unwinding_s: For a request to end after its client went away.
        stop_timeout_s: For connections to end once the service stops.
        send_buffer_bytes: Kernel buffer per connection; 0 leaves it to the kernel.
    """

    max_connections: int = 4096
    max_body_bytes: int = 32 * 1024 * 1024
    max_header_bytes: int = 32 * 1024
    max_message_bytes: int = 32 * 1024 * 1024
    header_read_timeout_s: float = 10.0
    body_read_timeout_s: float = 60.0
    keep_alive_timeout_s: float = 75.0
    write_timeout_s: float = 30.0
    socket_ping_interval_s: float = 10.0
    socket_silence_s: float = 25.0
    linger_s: float = 1.0
    unwinding_s: float = 5.0
    stop_timeout_s: float = 3.5
    send_buffer_bytes: int = 0


DEFAULT_EDGE_LIMITS = EdgeLimits()
