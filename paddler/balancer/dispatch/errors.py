"""Why a request got no slot.

DispatchError
├── BufferFull      as many requests wait as may
├── BufferTimeout   no slot became free in time
└── ShuttingDown    the balancer takes no more requests
"""

from __future__ import annotations


class DispatchError(Exception):
    """No slot; the text is fit to be shown to whoever asked."""


class BufferFull(DispatchError):
    """As many requests wait as may; with a bound of 0 none may."""

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        super().__init__(
            f"all slots are busy and the buffer is full ({max_waiting} requests)"
            if max_waiting
            else "all slots are busy and buffering is off"
        )


class BufferTimeout(DispatchError):
    """No slot became free within `timeout_s` seconds."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(f"no slot became free within {round(timeout_s * 1000)} ms")


class ShuttingDown(DispatchError):
    """The balancer takes no more requests."""

    def __init__(self) -> None:
        super().__init__("the balancer is shutting down")
