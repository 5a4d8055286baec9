"""One observer in front of several."""

from __future__ import annotations

from collections.abc import Sequence

from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.requests.observations import BufferOutcome, Observer, RequestOutcome
from paddler.messages.generation import Usage


class FanOut:
    """Passes on what it is told to each of `observers`, in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def request_buffered(self, kind: RequestKind, wait_s: float, outcome: BufferOutcome) -> None:
        """A wait for a slot ended."""
        for observer in self._observers:
            observer.request_buffered(kind, wait_s, outcome)

    def first_token(self, ttft_s: float) -> None:
        """A generation's first token arrived."""
        for observer in self._observers:
            observer.first_token(ttft_s)

    def token_gaps(self, gaps_s: Sequence[float]) -> None:
        """Times between token events."""
        for observer in self._observers:
            observer.token_gaps(gaps_s)

    def request_ended(
        self,
        kind: RequestKind,
        agent_name: str | None,
        outcome: RequestOutcome,
        duration_s: float,
        usage: Usage | None,
    ) -> None:
        """A request that held a slot ended."""
        for observer in self._observers:
            observer.request_ended(kind, agent_name, outcome, duration_s, usage)

    def taken_over(self, agent_name: str | None) -> None:
        """A request lost its agent."""
        for observer in self._observers:
            observer.taken_over(agent_name)
