"""The slot pool's invariants, under whatever order of events."""

from __future__ import annotations

import random
from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
)
from typing_extensions import override

from paddler.balancer.dispatch.errors import ShuttingDown
from paddler.balancer.dispatch.pool import AgentSlots, Lease, SlotPool, Waiter
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.dispatch.routing.cost_router import LeastBusyRouter

GENERATION = frozenset({RequestKind.GENERATION})
EMBEDDING = frozenset({RequestKind.EMBEDDING})
BOTH = GENERATION | EMBEDDING

kinds = st.sampled_from(list(RequestKind))
capabilities = st.sampled_from([frozenset[RequestKind](), GENERATION, EMBEDDING, BOTH])
versions = st.sampled_from([1, 2])


MAX_OVERTAKES = 2


class CapriciousRouter(LeastBusyRouter):
    """Prefers whatever waiter comes to its mind."""

    def __init__(self) -> None:
        super().__init__(random.Random(0))
        self.mind = random.Random(1)

    @override
    def pick_waiter(self, agent: AgentSlots, waiters: Sequence[Waiter]) -> int:
        return self.mind.randrange(len(waiters))


def make_pool() -> SlotPool:
    return SlotPool(LeastBusyRouter(random.Random(0)), lambda: None)


def make_agent(pool: SlotPool, n_slots: int, version: int = 1) -> AgentSlots:
    agent = pool.join()
    pool.update(agent, n_slots=n_slots, serves=BOTH, state_version=version)
    return agent


def ignore() -> None:
    return None


class SlotPoolMachine(RuleBasedStateMachine):
    """Every rule is one event; `settled` records the order in which waiters got leases."""

    max_overtakes = 0
    agents = Bundle("agents")
    leases = Bundle("leases")
    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.pool = self.make_pool()
        self.n_overtaken: dict[int, int] = {}
        self.n_leases: dict[int, int] = {}
        self.live: set[int] = set()
        self.queue: list[Waiter] = []
        self.settled: list[Waiter] = []

    def make_pool(self) -> SlotPool:
        return make_pool()

    def account(self, lease: Lease) -> Lease:
        self.n_leases[lease.link_id] = self.n_leases.get(lease.link_id, 0) + 1
        agent = lease.agent
        assert agent.n_leased <= agent.n_slots, "a grant went past the agent's slots"
        assert lease.hints.kind in agent.serves
        assert lease.hints.state_version in (None, agent.state_version)
        return lease

    def absorb_grants(self) -> None:
        """Check that whoever was granted came before all who wait and could use it too."""
        for waiter in self.settled:
            assert waiter.lease is not None
            self.account(waiter.lease)
            self.queue.remove(waiter)
            agent = waiter.lease.agent
            for other in self.queue:
                if not agent.could_serve(other.hints) or other.arrival > waiter.arrival:
                    continue
                n_overtaken = self.n_overtaken.get(other.arrival, 0) + 1
                self.n_overtaken[other.arrival] = n_overtaken
                assert other.is_newcomer, "a request that held a slot was overtaken"
                assert n_overtaken <= self.max_overtakes, "a waiter was overtaken too often"
        self.settled.clear()

    @rule(target=agents, n_slots=st.integers(0, 3), serves=capabilities, version=versions)
    def agent_joins(self, n_slots: int, serves: frozenset[RequestKind], version: int) -> AgentSlots:
        agent = self.pool.join()
        self.live.add(agent.link_id)
        self.pool.update(agent, n_slots=n_slots, serves=serves, state_version=version)
        self.absorb_grants()
        return agent

    @rule(agent=agents, n_slots=st.integers(0, 3), serves=capabilities, version=versions)
    def agent_changes(
        self, agent: AgentSlots, n_slots: int, serves: frozenset[RequestKind], version: int
    ) -> None:
        if agent.link_id in self.live:
            self.pool.update(agent, n_slots=n_slots, serves=serves, state_version=version)
            self.absorb_grants()

    @rule(agent=consumes(agents))
    def agent_leaves(self, agent: AgentSlots) -> None:
        self.live.discard(agent.link_id)
        self.pool.leave(agent)
        self.absorb_grants()

    @rule(target=leases, kind=kinds, version=st.none() | versions)
    def request_arrives(self, kind: RequestKind, version: int | None) -> Lease | Waiter:
        hints = SlotHints(kind=kind, state_version=version)
        return self.ask(hints, self.pool.next_arrival(), is_newcomer=True)

    @rule(target=leases, held=consumes(leases))
    def agent_is_lost_and_its_request_returns(self, held: Lease | Waiter) -> Lease | Waiter:
        if isinstance(held, Waiter):
            if held.lease is None:
                return held
            lease = held.lease
        else:
            lease = held
        self.give_up(lease)
        return self.ask(lease.hints, lease.arrival, is_newcomer=False)

    @rule(held=consumes(leases))
    def request_ends_or_is_cancelled(self, held: Lease | Waiter) -> None:
        if isinstance(held, Lease):
            self.give_up(held)
        elif held.lease is not None:
            self.give_up(held.lease)
        else:
            self.queue.remove(held)
            self.pool.withdraw(held)
            self.absorb_grants()

    def ask(self, hints: SlotHints, arrival: int, *, is_newcomer: bool) -> Lease | Waiter:
        lease = self.pool.try_lease(hints, arrival)
        if lease is not None:
            for other in self.queue:
                assert not lease.agent.could_serve(other.hints), "a newcomer overtook a waiter"
            return self.account(lease)
        waiter = self.pool.wait(
            hints, arrival, lambda: self.settled.append(waiter), is_newcomer=is_newcomer
        )
        self.queue.append(waiter)
        return waiter

    def give_up(self, lease: Lease) -> None:
        self.n_leases[lease.link_id] -= 1
        self.pool.release(lease)
        self.pool.release(lease)
        self.absorb_grants()

    @invariant()
    def nobody_waits_while_a_slot_that_fits_is_free(self) -> None:
        for waiter in self.queue:
            for agent in self.pool.agents:
                assert not agent.can_take(waiter.hints)

    @invariant()
    def every_lease_is_counted_once(self) -> None:
        for agent in self.pool.agents:
            assert agent.n_leased == self.n_leases.get(agent.link_id, 0)

    @invariant()
    def waiters_are_those_that_wait(self) -> None:
        assert self.pool.n_waiting == len(self.queue)
        n_newcomers = sum(waiter.is_newcomer for waiter in self.queue)
        assert self.pool.n_newcomers_waiting == n_newcomers


class CapriciousPoolMachine(SlotPoolMachine):
    """The same with a router that overtakes whenever it may."""

    max_overtakes = MAX_OVERTAKES

    @override
    def make_pool(self) -> SlotPool:
        return SlotPool(CapriciousRouter(), lambda: None, max_overtakes=MAX_OVERTAKES)


TestCapriciousPoolMachine = CapriciousPoolMachine.TestCase
TestSlotPoolMachine = SlotPoolMachine.TestCase


def test_freed_slot_goes_to_the_first_waiter() -> None:
    pool = make_pool()
    make_agent(pool, 1)
    lease = pool.try_lease(SlotHints(), pool.next_arrival())
    assert lease is not None
    first = pool.wait(SlotHints(), pool.next_arrival(), ignore, is_newcomer=True)
    second = pool.wait(SlotHints(), pool.next_arrival(), ignore, is_newcomer=True)
    pool.release(lease)
    assert first.lease is not None
    assert second.lease is None


def test_requests_that_lost_their_agent_wait_ahead_in_their_old_order() -> None:
    pool = make_pool()
    agent = make_agent(pool, 2)
    old = [pool.try_lease(SlotHints(), pool.next_arrival()) for _ in range(2)]
    newcomer = pool.wait(SlotHints(), pool.next_arrival(), ignore, is_newcomer=True)
    pool.leave(agent)
    returned = []
    for lease in reversed(old):
        assert lease is not None
        pool.release(lease)
        returned.append(pool.wait(lease.hints, lease.arrival, ignore, is_newcomer=False))
    make_agent(pool, 1)
    assert returned[1].lease is not None
    assert returned[0].lease is None
    assert newcomer.lease is None
    make_agent(pool, 1)
    assert returned[0].lease is not None
    assert newcomer.lease is None


def test_waiter_that_cannot_use_a_slot_does_not_block_those_behind_it() -> None:
    pool = make_pool()
    embedding = SlotHints(kind=RequestKind.EMBEDDING)
    blocked = pool.wait(embedding, pool.next_arrival(), ignore, is_newcomer=True)
    behind = pool.wait(SlotHints(), pool.next_arrival(), ignore, is_newcomer=True)
    agent = pool.join()
    pool.update(agent, n_slots=2, serves=GENERATION, state_version=1)
    assert blocked.lease is None
    assert behind.lease is not None


def test_request_bound_to_a_state_waits_for_an_agent_that_serves_it() -> None:
    pool = make_pool()
    make_agent(pool, 1, version=2)
    bound = SlotHints(state_version=1)
    assert pool.try_lease(bound, pool.next_arrival()) is None
    waiter = pool.wait(bound, pool.next_arrival(), ignore, is_newcomer=False)
    agent = make_agent(pool, 1, version=1)
    assert waiter.lease is not None
    assert waiter.lease.agent is agent


def test_agent_whose_slots_shrink_keeps_its_leases_and_gets_no_more() -> None:
    pool = make_pool()
    agent = make_agent(pool, 2)
    leases = [pool.try_lease(SlotHints(), pool.next_arrival()) for _ in range(2)]
    pool.update(agent, n_slots=1, serves=BOTH, state_version=1)
    assert agent.n_leased == 2
    assert leases[0] is not None
    pool.release(leases[0])
    assert pool.try_lease(SlotHints(), pool.next_arrival()) is None


def test_closing_tells_waiters_and_grants_nothing() -> None:
    pool = make_pool()
    told: list[str] = []
    waiter = pool.wait(
        SlotHints(), pool.next_arrival(), lambda: told.append("settled"), is_newcomer=True
    )
    pool.close()
    assert told == ["settled"]
    assert isinstance(waiter.error, ShuttingDown)
    make_agent(pool, 1)
    assert waiter.lease is None
    assert pool.try_lease(SlotHints(), pool.next_arrival()) is None
    assert pool.n_waiting == 0


def test_lease_of_an_agent_that_left_is_released_to_no_effect() -> None:
    pool = make_pool()
    agent = make_agent(pool, 1)
    lease = pool.try_lease(SlotHints(), pool.next_arrival())
    assert lease is not None
    waiter = pool.wait(SlotHints(), pool.next_arrival(), ignore, is_newcomer=True)
    pool.leave(agent)
    pool.release(lease)
    assert waiter.lease is None
    assert pool.n_waiting == 1
