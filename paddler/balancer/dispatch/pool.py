"""Slots, leases and waiters: every grant is one synchronous step.

Invariants, whatever happens in whatever order:
- an agent never has more leases than slots by a grant (an agent whose slots
  shrink keeps the leases it has);
- nobody waits while a slot that it could use is free;
- who gets a freed slot is the waiting line's order;
- a withdrawn waiter leaves no trace.

Knows no clock and no tasks: a waiter is told through its `on_settled`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable

from paddler.balancer.dispatch.agent_slots import AgentSlots
from paddler.balancer.dispatch.errors import ShuttingDown
from paddler.balancer.dispatch.leases import Lease, Why
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.dispatch.routing.router import Router
from paddler.balancer.dispatch.waiting_line import Waiter, WaitingLine


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
        self._line = WaitingLine(router.pick_waiter, max_overtakes=max_overtakes)
        self._agents: dict[int, AgentSlots] = {}
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
        return len(self._line)

    @property
    def n_newcomers_waiting(self) -> int:
        """Of them, those that never held a slot."""
        return self._line.n_newcomers

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
        """Line up by `arrival`, after `try_lease` found nothing.

        `on_settled` is called once, synchronously, when a lease or an error is
        there; never after `withdraw`.
        """
        waiter = Waiter(hints, arrival, on_settled, is_newcomer=is_newcomer)
        self._line.join(waiter)
        self._on_change()
        return waiter

    def withdraw(self, waiter: Waiter) -> None:
        """Stop waiting; a lease that came meanwhile goes to the next waiter."""
        if waiter.lease is not None:
            self.release(waiter.lease)
        elif waiter.error is None:
            self._line.leave(waiter)
            self._on_change()

    def release(self, lease: Lease) -> None:
        """Free the slot and grant it to the first waiter that may use it; idempotent."""
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
        for waiter in self._line.take_all():
            waiter.refuse(ShuttingDown())
        self._on_change()

    def _grant(self, agent: AgentSlots, hints: SlotHints, arrival: int, why: Why) -> Lease:
        lease = Lease(agent, hints, arrival, why)
        self._router.granted(lease)
        agent.n_leased += 1
        return lease

    def _serve_from(self, agent: AgentSlots) -> None:
        while self._line and not self._closed and agent.n_leased < agent.n_slots:
            waiter = self._line.take_next(agent)
            if waiter is None:
                return
            waiter.grant(self._grant(agent, waiter.hints, waiter.arrival, "waited"))
