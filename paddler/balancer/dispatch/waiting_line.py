"""The line of requests that wait, and its order: who is served next.

Those that could use a slot are served by arrival, unless the router prefers a
later one for what the agent has cached. Nobody is overtaken more than
`max_overtakes` times, and a request that held a slot already never is.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence

from paddler.balancer.dispatch.agent_slots import AgentSlots
from paddler.balancer.dispatch.errors import DispatchError
from paddler.balancer.dispatch.leases import Lease
from paddler.balancer.dispatch.requests import SlotHints

MAX_WAITERS_COMPARED = 16
"""How many waiters a router is offered for one freed slot."""


class Waiter:
    """A request that waits; it ends with a lease, an error or its withdrawal."""

    __slots__ = (
        "_on_settled",
        "arrival",
        "error",
        "hints",
        "is_newcomer",
        "lease",
        "n_overtaken",
    )

    def __init__(
        self, hints: SlotHints, arrival: int, on_settled: Callable[[], None], *, is_newcomer: bool
    ) -> None:
        self.hints = hints
        self.arrival = arrival
        self.is_newcomer = is_newcomer
        self.n_overtaken = 0
        self.lease: Lease | None = None
        self.error: DispatchError | None = None
        self._on_settled = on_settled

    def grant(self, lease: Lease) -> None:
        """Tell the waiting task that it has a slot."""
        self.lease = lease
        self._on_settled()

    def refuse(self, error: DispatchError) -> None:
        """Tell the waiting task that it gets none."""
        self.error = error
        self._on_settled()


PickWaiter = Callable[[AgentSlots, Sequence[Waiter]], int]
"""The position, among some waiters, of the one that gets a slot of the agent."""


class WaitingLine:
    """Requests that wait, first come first.

    Args:
        pick: Chooses among those that may be overtaken, and the first that may not.
        max_overtakes: How often a waiter may be overtaken; 0: strictly first
            in, first out.
    """

    def __init__(self, pick: PickWaiter, *, max_overtakes: int) -> None:
        self._pick = pick
        self._max_overtakes = max_overtakes
        self._waiters: list[Waiter] = []
        self._n_newcomers = 0

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def n_newcomers(self) -> int:
        """How many of them never held a slot."""
        return self._n_newcomers

    def join(self, waiter: Waiter) -> None:
        """Line up behind whoever arrived earlier."""
        bisect.insort(self._waiters, waiter, key=_arrival_of)
        self._n_newcomers += waiter.is_newcomer

    def leave(self, waiter: Waiter) -> None:
        """Leave the line without a trace."""
        self._waiters.remove(waiter)
        self._n_newcomers -= waiter.is_newcomer

    def take_next(self, agent: AgentSlots) -> Waiter | None:
        """Take out the waiter that gets a slot of `agent`, if any could use it."""
        eligible = self._eligible(agent)
        if not eligible:
            return None
        position = self._pick(agent, eligible) if len(eligible) > 1 else 0
        for waiter in eligible[:position]:
            waiter.n_overtaken += 1
        chosen = eligible[position]
        self.leave(chosen)
        return chosen

    def take_all(self) -> list[Waiter]:
        """Take everyone out, in order."""
        waiters, self._waiters = self._waiters, []
        self._n_newcomers = 0
        return waiters

    def _eligible(self, agent: AgentSlots) -> list[Waiter]:
        """The first that could use the slot, up to one that may not be overtaken."""
        eligible: list[Waiter] = []
        for waiter in self._waiters:
            if not agent.could_serve(waiter.hints):
                continue
            eligible.append(waiter)
            may_be_overtaken = waiter.is_newcomer and waiter.n_overtaken < self._max_overtakes
            if not may_be_overtaken or len(eligible) >= MAX_WAITERS_COMPARED:
                break
        return eligible


def _arrival_of(waiter: Waiter) -> int:
    return waiter.arrival
