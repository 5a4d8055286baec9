"""Chooses an agent for a request when several have a free slot."""

from __future__ import annotations

import random

from paddler.balancer.dispatch.requests import SlotHints
from paddler.balancer.dispatch.slot_pool import AgentSlots


class LeastBusyRouter:
    """The agent with the smallest share of its slots leased; ties at random.

    Args:
        random_source: Breaks ties.
    """

    def __init__(self, random_source: random.Random) -> None:
        self._random = random_source

    def choose(self, candidates: list[AgentSlots], hints: SlotHints) -> AgentSlots:
        """The least busy of `candidates`; `hints` do not matter here."""
        del hints
        least = min(agent.n_leased / agent.n_slots for agent in candidates)
        ties = [agent for agent in candidates if agent.n_leased / agent.n_slots == least]
        return ties[0] if len(ties) == 1 else self._random.choice(ties)
