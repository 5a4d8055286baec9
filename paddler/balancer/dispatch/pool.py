"""Slots, leases and waiters: every grant is one synchronous step.

Invariants, whatever happens in whatever order:
- an agent never has more leases than slots by a grant (an agent whose slots
  shrink keeps the leases it has);
- nobody waits while a slot that it could use is free;
- among waiters that could use a slot, the one that arrived first gets it,
  unless the router prefers a later one for what the agent has cached: nobody
  is overtaken more than `max_overtakes` times, and a request that held a slot
  already is never overtaken;
- a withdrawn waiter leaves no trace.

Knows no clock and no tasks: a waiter is told through its `on_settled`.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, Protocol

from paddler.balancer.dispatch.errors import DispatchError, ShuttingDown
from paddler.balancer.dispatch.requests import RequestKind, SlotHints


class AgentSlots:
    """One connected agent as dispatch sees it; made by `SlotPool.join`.

    Reading is free; only the pool changes anything.
    """

    __slots__ = (
        "link_id",
        "n_leased",
        "n_slots",
        "pending_prefill_tokens",
        "prefill_tokens_per_s",
        "serves",
        "state_version",
    )

    def __init__(self, link_id: int) -> None:
        self.link_id = link_id
        self.n_slots = 0
        self.n_leased = 0
        self.serves: frozenset[RequestKind] = frozenset()
        self.state_version: int | None = None
        self.prefill_tokens_per_s: float | None = None
        self.pending_prefill_tokens = 0.0
        """Estimated tokens that it was given to prefill and has not yet."""

    def can_take(self, hints: SlotHints) -> bool:
        """Whether a slot is free here that such a request could use."""
        return self.n_leased < self.n_slots and self.could_serve(hints)

    def could_serve(self, hints: SlotHints) -> bool:
        """The same, were a slot free."""
        return hints.kind in self.serves and (
            hints.state_version is None or hints.state_version == self.state_version
        )


Why = Literal["only_free", "least_busy", "pinned", "cached", "cheapest", "waited"]
"""Why an agent was chosen, for the log.

No other had a free slot; it was the least busy; the named conversation was
there last; nobody holds more of the prompt; the estimate was lowest although
somebody does; its slot became free while the request waited."""


class Router(Protocol):
    """Chooses among agents, and possibly among waiters; told what becomes of its choices."""

    def choose(self, candidates: list[AgentSlots], hints: SlotHints) -> tuple[AgentSlots, Why]:
        """One of `candidates`, which are at least one and all have a free slot."""

    def pick_waiter(self, agent: AgentSlots, waiters: Sequence[Waiter]) -> int:
        """The position of the waiter that gets a slot of `agent`; 0 keeps to the order."""

    def granted(self, lease: Lease) -> None:
        """`lease` begins."""

    def began(self, lease: Lease, prompt_tokens: int, cached_tokens: int) -> None:
        """The agent began to work on the request, and counted its prompt."""

    def prefilled(self, lease: Lease) -> None:
        """The request's first token is there; may be told more than once."""

    def released(self, lease: Lease) -> None:
        """`lease` is over."""

    def reported(self, agent: AgentSlots, tips: Collection[int]) -> None:
        """The agent holds the prompts whose chains end in `tips`, and no others."""

    def forget(self, agent: AgentSlots) -> None:
        """The agent left, or serves another state: it holds nothing any more."""


class Lease:
    """One slot of the agent behind `link_id`, until it is released.

    `arrival` is the request's place in the order of arrival: with it, a
    request that lost its agent waits ahead of all that came after it.
    `state_version` is what the agent serves while the lease lasts.
    `prefill_tokens`, `cached_tokens`, `queued_tokens` (of others, ahead of it)
    and `ttft_s` are the router's estimates.
    """

    __slots__ = (
        "agent",
        "arrival",
        "cached_tokens",
        "has_begun",
        "hints",
        "link_id",
        "prefill_tokens",
        "queued_tokens",
        "released",
        "state_version",
        "ttft_s",
        "why",
    )

    def __init__(self, agent: AgentSlots, hints: SlotHints, arrival: int, why: Why) -> None:
        self.agent = agent
        self.why = why
        self.link_id = agent.link_id
        self.state_version = agent.state_version
        self.hints = hints
        self.arrival = arrival
        self.released = False
        self.has_begun = False
        self.prefill_tokens = 0.0
        self.cached_tokens = 0.0
        self.queued_tokens = 0.0
        self.ttft_s = 0.0


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

    def settle(self) -> None:
        """Tell the waiting task that `lease` or `error` is there."""
        self._on_settled()


MAX_WAITERS_COMPARED = 16
"""How many waiters a router is offered for one freed slot."""


def _arrival_of(waiter: Waiter) -> int:
    return waiter.arrival


class SlotPool:
    """All slots and everyone who wants one.

    Args:
        router: Chooses where several agents have a free slot.
        on_change: Called after leases, slots or waiters changed.
        max_overtakes: How often a waiter may be overtaken; 0: strictly first
            in, first out.
    """

    def __init__(
        self, router: Router, on_change: Callable[[], None], *, max_overtakes: int = 0
    ) -> None:
        self._router = router
        self._on_change = on_change
        self._max_overtakes = max_overtakes
        self._agents: dict[int, AgentSlots] = {}
        self._waiters: list[Waiter] = []
        self._n_newcomers = 0
        self._arrivals = itertools.count(1)
        self._link_ids = itertools.count(1)
        self._closed = False

    @property
    def agents(self) -> Iterable[AgentSlots]:
        """Everyone connected, in the order they joined."""
        return self._agents.values()

    @property
    def n_waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiters)

    @property
    def n_newcomers_waiting(self) -> int:
        """Of them, those that never held a slot."""
        return self._n_newcomers

    @property
    def closed(self) -> bool:
        """No more grants."""
        return self._closed

    def next_arrival(self) -> int:
        """The place of a request that arrives now."""
        return next(self._arrivals)

    def join(self) -> AgentSlots:
        """A new agent, without slots until `update`."""
        agent = AgentSlots(next(self._link_ids))
        self._agents[agent.link_id] = agent
        self._on_change()
        return agent

    def update(
        self,
        agent: AgentSlots,
        *,
        n_slots: int,
        serves: frozenset[RequestKind],
        state_version: int | None,
        prefill_tokens_per_s: float | None = None,
    ) -> None:
        """Set what `agent` offers now and serve waiters that can use it."""
        if state_version != agent.state_version:
            self._router.forget(agent)
        agent.n_slots = n_slots
        agent.serves = serves
        agent.state_version = state_version
        agent.prefill_tokens_per_s = prefill_tokens_per_s
        if agent.link_id in self._agents:
            self._serve_from(agent)
            self._on_change()

    def leave(self, agent: AgentSlots) -> None:
        """Forget `agent`; its leases may still be released, to no effect."""
        agent.n_slots = 0
        agent.serves = frozenset()
        self._agents.pop(agent.link_id, None)
        self._router.forget(agent)
        self._on_change()

    def why_none_serves(self, hints: SlotHints) -> str | None:
        """Why nobody could take such a request, were all slots free; None if somebody could."""
        if not self._agents:
            return "no agent is connected"
        if any(agent.n_slots > 0 and agent.could_serve(hints) for agent in self.agents):
            return None
        if hints.state_version is not None:
            return "no agent serves the model any more that began the answer"
        return "no agent has a model ready"

    def try_lease(self, hints: SlotHints, arrival: int) -> Lease | None:
        """A lease if a free slot fits now, which means that no waiter could use it."""
        if self._closed:
            return None
        candidates = [agent for agent in self._agents.values() if agent.can_take(hints)]
        if not candidates:
            return None
        agent, why = self._router.choose(candidates, hints)
        lease = self._grant(agent, hints, arrival, why)
        self._on_change()
        return lease

    def wait(
        self, hints: SlotHints, arrival: int, on_settled: Callable[[], None], *, is_newcomer: bool
    ) -> Waiter:
        """Queue up by `arrival`, after `try_lease` found nothing.

        `on_settled` is called once, synchronously, when a lease or an error is
        there; never after `withdraw`.
        """
        waiter = Waiter(hints, arrival, on_settled, is_newcomer=is_newcomer)
        self._n_newcomers += is_newcomer
        bisect.insort(self._waiters, waiter, key=_arrival_of)
        self._on_change()
        return waiter

    def withdraw(self, waiter: Waiter) -> None:
        """Stop waiting; a lease that came meanwhile goes to the next waiter."""
        if waiter.lease is not None:
            self.release(waiter.lease)
        elif waiter.error is None:
            self._waiters.remove(waiter)
            self._n_newcomers -= waiter.is_newcomer
            self._on_change()

    def release(self, lease: Lease) -> None:
        """Free the slot and hand it to the first waiter that may use it; idempotent."""
        if lease.released:
            return
        lease.released = True
        lease.agent.n_leased -= 1
        self._router.released(lease)
        self._serve_from(lease.agent)
        self._on_change()

    def began(self, lease: Lease, prompt_tokens: int, cached_tokens: int) -> None:
        """The agent began to work on the request, and counted its prompt."""
        if not lease.released and lease.link_id in self._agents:
            self._router.began(lease, prompt_tokens, cached_tokens)
            lease.has_begun = True

    def prefilled(self, lease: Lease) -> None:
        """The request's first token is there."""
        if not lease.released:
            self._router.prefilled(lease)

    def reported(self, agent: AgentSlots, tips: Collection[int]) -> None:
        """The agent holds the prompts whose chains end in `tips`, and no others."""
        if agent.link_id in self._agents:
            self._router.reported(agent, tips)

    def close(self) -> None:
        """Grant nothing any more; waiters get `ShuttingDown`."""
        self._closed = True
        waiters, self._waiters = self._waiters, []
        self._n_newcomers = 0
        for waiter in waiters:
            waiter.error = ShuttingDown()
            waiter.settle()
        self._on_change()

    def _grant(self, agent: AgentSlots, hints: SlotHints, arrival: int, why: Why) -> Lease:
        lease = Lease(agent, hints, arrival, why)
        self._router.granted(lease)
        agent.n_leased += 1
        return lease

    def _serve_from(self, agent: AgentSlots) -> None:
        while self._waiters and not self._closed and agent.n_leased < agent.n_slots:
            waiter = self._next_waiter(agent)
            if waiter is None:
                return
            self._waiters.remove(waiter)
            self._n_newcomers -= waiter.is_newcomer
            waiter.lease = self._grant(agent, waiter.hints, waiter.arrival, "waited")
            waiter.settle()

    def _next_waiter(self, agent: AgentSlots) -> Waiter | None:
        """The waiter that gets a slot of `agent`, if any could use it."""
        eligible: list[Waiter] = []
        for waiter in self._waiters:
            if not agent.could_serve(waiter.hints):
                continue
            eligible.append(waiter)
            may_be_overtaken = waiter.is_newcomer and waiter.n_overtaken < self._max_overtakes
            if not may_be_overtaken or len(eligible) >= MAX_WAITERS_COMPARED:
                break
        if len(eligible) < 2:
            return eligible[0] if eligible else None
        position = self._router.pick_waiter(agent, eligible)
        for waiter in eligible[:position]:
            waiter.n_overtaken += 1
        return eligible[position]
