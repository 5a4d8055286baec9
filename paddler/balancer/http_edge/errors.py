"""Errors of the HTTP edge.

EdgeError
├── BodyTooLarge            a request body above the limit
├── BodyTooSlow             a request body that does not arrive in time
├── OriginRefused           a browser page of another origin opens a WebSocket
├── SocketClosed            the WebSocket's peer is gone, or we closed it
└── ListenFailed            an address that cannot be listened on
    └── AddressInUse        … because another program has it
"""

from __future__ import annotations


class EdgeError(Exception):
    """Anything the edge itself refuses."""


class BodyTooLarge(EdgeError):
    """The request body is larger than `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the request body is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class BodyTooSlow(EdgeError):
    """The request body did not arrive within `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the request body did not arrive within {limit_s:g} s")
        self.limit_s = limit_s


class OriginRefused(EdgeError):
    """A page of `origin` tried to open a WebSocket here."""

    def __init__(self, origin: str) -> None:
        super().__init__(f"the origin {origin} is not allowed to open a WebSocket here")
        self.origin = origin


class SocketClosed(EdgeError):
    """Nothing can be sent to or received from this WebSocket any more."""


class ListenFailed(EdgeError):
    """`address`, given by `flag`, cannot be listened on."""

    def __init__(self, flag: str, address: str, reason: str) -> None:
        super().__init__(f"{flag}: cannot listen on {address}: {reason}")
        self.flag = flag
        self.address = address


class AddressInUse(ListenFailed):
    """Another program listens on the address already."""

    def __init__(self, flag: str, address: str) -> None:
        super().__init__(flag, address, "the address is already in use")
