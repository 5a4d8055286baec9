"""What chooses an agent for a request, and learns what became of the choice."""

from __future__ import annotations

import abc
from collections.abc import Collection, Sequence

from paddler.balancer.dispatch.agent_slots import AgentSlots
from paddler.balancer.dispatch.leases import Lease, Why
from paddler.balancer.dispatch.requests import SlotHints
from paddler.balancer.dispatch.waiting_line import Waiter


class Router(abc.ABC):
    """Chooses among agents, and possibly among waiters; told what becomes of its choices.

    A router that learns nothing has only to choose.
    """

    @abc.abstractmethod
    def choose(self, candidates: list[AgentSlots], hints: SlotHints) -> tuple[AgentSlots, Why]:
        """One of `candidates`, which are at least one and all have a free slot."""

    def pick_waiter(self, agent: AgentSlots, waiters: Sequence[Waiter]) -> int:
        """The position of the waiter that gets a slot of `agent`; 0 keeps to the order."""
        return 0

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
