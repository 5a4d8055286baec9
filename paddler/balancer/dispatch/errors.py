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
    """As many requests wait as may; with a bound of 0 none may.

    `reason` says why nothing could take the request, if not for busy slots.
    """

    def __init__(self, max_waiting: int, reason: str | None = None) -> None:
        self.max_waiting = max_waiting
        bound = (
            f"the buffer is full ({max_waiting} requests)" if max_waiting else "buffering is off"
        )
        super().__init__(f"{reason or 'all slots are busy'} and {bound}")


class BufferTimeout(DispatchError):
    """No slot became free within `timeout_s` seconds.

    `reason` says why, if not for busy slots.
    """

    def __init__(self, timeout_s: float, reason: str | None = None) -> None:
        self.timeout_s = timeout_s
        why = f": {reason}" if reason else ""
        super().__init__(f"no slot became free within {round(timeout_s * 1000)} ms{why}")


class ShuttingDown(DispatchError):
    """The balancer takes no more requests."""

    def __init__(self) -> None:
        super().__init__("the balancer is shutting down")
