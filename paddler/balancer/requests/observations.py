"""What metrics may want to know of requests."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from paddler.balancer.dispatch.requests import RequestKind
from paddler.messages.generation import Usage


class BufferOutcome(enum.StrEnum):
    """How a wait for a slot ended."""

    GRANTED = "granted"
    FULL = "full"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SHUTTING_DOWN = "shutting_down"


class RequestOutcome(enum.StrEnum):
    """How a request that held a slot ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    AGENT_LOST = "agent_lost"
    ITEM_TIMEOUT = "item_timeout"
    CANCELLED = "cancelled"
    SHUTTING_DOWN = "shutting_down"
    CLIENT_TOO_SLOW = "client_too_slow"


class Observer(Protocol):
    """Told of every request; must not wait and must not raise."""

    def request_buffered(self, kind: RequestKind, wait_s: float, outcome: BufferOutcome) -> None:
        """A wait for a slot ended, also one of no length."""

    def first_token(self, ttft_s: float) -> None:
        """A generation's first token arrived, `ttft_s` after the request."""

    def token_gaps(self, gaps_s: Sequence[float]) -> None:
        """Times between token events of one generation, some at a time."""

    def request_ended(
        self,
        kind: RequestKind,
        agent_name: str | None,
        outcome: RequestOutcome,
        duration_s: float,
        usage: Usage | None,
    ) -> None:
        """A request that held a slot ended; `usage` only if the agent told it."""

    def taken_over(self, agent_name: str | None) -> None:
        """A request lost the agent `agent_name` and goes back to the buffer."""


class NullObserver:
    """Observes nothing."""

    def request_buffered(self, kind: RequestKind, wait_s: float, outcome: BufferOutcome) -> None:
        """Ignore it."""

    def first_token(self, ttft_s: float) -> None:
        """Ignore it."""

    def token_gaps(self, gaps_s: Sequence[float]) -> None:
        """Ignore them."""

    def request_ended(
        self,
        kind: RequestKind,
        agent_name: str | None,
        outcome: RequestOutcome,
        duration_s: float,
        usage: Usage | None,
    ) -> None:
        """Ignore it."""

    def taken_over(self, agent_name: str | None) -> None:
        """Ignore it."""
