from __future__ import annotations

import random
from collections import Counter

from paddler.balancer.dispatch.pool import AgentSlots
from paddler.balancer.dispatch.requests import SlotHints
from paddler.balancer.dispatch.routing.cost_router import LeastBusyRouter


def agent(link_id: int, n_leased: int, n_slots: int) -> AgentSlots:
    made = AgentSlots(link_id)
    made.n_leased = n_leased
    made.n_slots = n_slots
    return made


def test_least_busy_is_relative_to_slots() -> None:
    router = LeastBusyRouter(random.Random(1))
    small = agent(1, 1, 2)
    large = agent(2, 3, 16)
    assert router.choose([small, large], SlotHints()) == (large, "least_busy")


def test_ties_are_spread_over_all_agents() -> None:
    router = LeastBusyRouter(random.Random(1))
    agents = [agent(number, 0, 4) for number in range(4)]
    chosen = Counter(router.choose(agents, SlotHints())[0].link_id for _ in range(4000))
    assert set(chosen) == {0, 1, 2, 3}
    assert min(chosen.values()) > 850
