"""The choice of an agent by its load alone."""

from __future__ import annotations

import random

from typing_extensions import override

from paddler.balancer.dispatch.agent_slots import AgentSlots
from paddler.balancer.dispatch.leases import Why
from paddler.balancer.dispatch.requests import SlotHints
from paddler.balancer.dispatch.routing.router import Router


class LeastBusyRouter(Router):
    """The agent with the smallest share of its slots leased; ties at random.

    Args:
        random_source: Breaks ties.
    """

    def __init__(self, random_source: random.Random) -> None:
        self._random = random_source

    @override
    def choose(self, candidates: list[AgentSlots], hints: SlotHints) -> tuple[AgentSlots, Why]:
        if len(candidates) == 1:
            return candidates[0], "only_free"
        least = min(agent.n_leased / agent.n_slots for agent in candidates)
        ties = [agent for agent in candidates if agent.n_leased / agent.n_slots == least]
        return ties[0] if len(ties) == 1 else self._random.choice(ties), "least_busy"
