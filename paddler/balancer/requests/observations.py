"""What metrics may want to know of requests."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence

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


@dataclasses.dataclass(frozen=True, slots=True)
class WaitEnded:
    """A wait for a slot ended, also one of no length."""

    kind: RequestKind
    waited_s: float
    outcome: BufferOutcome


@dataclasses.dataclass(frozen=True, slots=True)
class FirstToken:
    """A generation's first token arrived, `ttft_s` after the request."""

    ttft_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class TokenGaps:
    """Times between token events of one generation, some at a time."""

    gaps_s: Sequence[float]


@dataclasses.dataclass(frozen=True, slots=True)
class TakenOver:
    """A request lost the agent `agent_name` and goes back to the buffer."""

    agent_name: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class RequestEnded:
    """A request that held a slot ended; `usage` only if the agent told it."""

    kind: RequestKind
    agent_name: str | None
    outcome: RequestOutcome
    duration_s: float
    usage: Usage | None = None


Observation = WaitEnded | FirstToken | TokenGaps | TakenOver | RequestEnded

Observe = Callable[[Observation], None]
"""Told of everything that happens to requests; must not wait and must not raise."""


def fan_out(*observers: Observe) -> Observe:
    """Tells each of `observers`, in order."""

    def observe(observation: Observation) -> None:
        for each in observers:
            each(observation)

    return observe
