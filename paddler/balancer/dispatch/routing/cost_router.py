"""Chooses an agent for a request when several have a free slot.

`LeastBusyRouter` looks at slots only. `CostRouter` chooses by the estimated
time to first token: what the agent still has to prefill, plus what of this
prompt is not in its caches, at its own measured speed; and by what the request
would push out of those caches, so that conversations which merely begin alike
do not all end up at one agent. Load counts from the grant on, not from the
agent's first answer.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from typing_extensions import override

from paddler.balancer.dispatch.pool import AgentSlots, Lease, Router, Waiter, Why
from paddler.balancer.dispatch.prefix_chain import PrefixChain
from paddler.balancer.dispatch.requests import SlotHints
from paddler.balancer.dispatch.routing.cost import BytesPerToken, lost_bytes, ttft_s, usual_speed
from paddler.balancer.dispatch.routing.prefix_index import Holding, PrefixIndex

NEARLY_EQUAL = 1.01
"""Costs within this factor of the best are a tie."""

PINNED_MAY_COST = 1.25
"""The agent that a named conversation had last is taken up to this factor of the best.

Enough for what the chain cannot tell (a history that was rewritten, arguments
of the template that change little), and no reason to wait behind others.
Neither may a name that many conversations share pile them up at one agent: it
counts only while the agent holds no more than twice what another does, and a
conversation per slot."""

WORTH_WAITING_FOR_S = 0.1
"""A waiter is passed over only if another agent's caches save it this much more prefill."""

DOUBTFUL_SHARE = 0.5
DOUBTFUL_TOKENS = 128
"""An agent that had this share less cached than was thought, and this many tokens, is doubted."""


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

    @override
    def pick_waiter(self, agent: AgentSlots, waiters: Sequence[Waiter]) -> int:
        return 0

    @override
    def granted(self, lease: Lease) -> None:
        """Nothing to remember."""

    @override
    def began(self, lease: Lease, prompt_tokens: int, cached_tokens: int) -> None:
        """Nothing to remember."""

    @override
    def prefilled(self, lease: Lease) -> None:
        """Nothing to remember."""

    @override
    def released(self, lease: Lease) -> None:
        """Nothing to remember."""

    @override
    def reported(self, agent: AgentSlots, tips: Collection[int]) -> None:
        """Nothing to remember."""

    @override
    def forget(self, agent: AgentSlots) -> None:
        """Nothing to remember."""


class CostRouter(LeastBusyRouter):
    """The agent where the request costs least, in estimated seconds; ties at random.

    Args:
        random_source: Breaks ties.
        index: What agents hold.
    """

    def __init__(self, random_source: random.Random, index: PrefixIndex | None = None) -> None:
        super().__init__(random_source)
        self.index = index if index is not None else PrefixIndex()
        self._bytes_per_token = BytesPerToken()
        self._usual_tokens_per_s = usual_speed([])

    @override
    def choose(self, candidates: list[AgentSlots], hints: SlotHints) -> tuple[AgentSlots, Why]:
        chain = hints.chain
        if chain is None:
            return super().choose(candidates, hints)
        self._usual_tokens_per_s = usual_speed(candidates)
        if len(candidates) == 1:
            return candidates[0], "only_free"
        matches = self.index.matches(chain)
        usual_tokens_per_s = self._usual_tokens_per_s
        uncached_tokens = {
            n_links: self._uncached_tokens(chain, n_links) for n_links in {0, *matches.values()}
        }
        holdings = self.index.holdings
        costs_s: list[float] = []
        for agent in candidates:
            n_links = matches.get(agent.link_id, 0)
            cost_s = ttft_s(agent, uncached_tokens[n_links], usual_tokens_per_s)
            holding = holdings.get(agent.link_id)
            if holding is not None and len(holding.tips) >= agent.n_slots:
                cost_s += self._displacement_s(agent, holding, chain, n_links)
            costs_s.append(cost_s)
        if hints.pin is not None:
            pinned = self._pinned(hints.pin, candidates, costs_s)
            if pinned is not None:
                return pinned, "pinned"
        limit = min(costs_s) * NEARLY_EQUAL
        ties = [agent for agent, cost in zip(candidates, costs_s, strict=True) if cost <= limit]
        chosen = ties[0] if len(ties) == 1 else self._random.choice(ties)
        most = max(matches.values(), default=0)
        is_best_cached = matches.get(chosen.link_id, 0) == most > 0
        return chosen, "cached" if is_best_cached else "cheapest"

    def _pinned(
        self, pin: int, candidates: list[AgentSlots], costs_s: list[float]
    ) -> AgentSlots | None:
        """The agent that the named conversation had last, if it may be taken."""
        link_id = self.index.pinned(pin)
        limit = min(costs_s) * PINNED_MAY_COST
        holdings = self.index.holdings
        n_held = [
            len(holdings[agent.link_id].tips) if agent.link_id in holdings else 0
            for agent in candidates
        ]
        for agent, cost_s, n_here in zip(candidates, costs_s, n_held, strict=True):
            if agent.link_id == link_id:
                is_fair = n_here <= 2 * min(n_held) + agent.n_slots
                return agent if cost_s <= limit and is_fair else None
        return None

    @override
    def pick_waiter(self, agent: AgentSlots, waiters: Sequence[Waiter]) -> int:
        for position, waiter in enumerate(waiters):
            if self._lost_s(agent, waiter.hints.chain) <= WORTH_WAITING_FOR_S:
                return position
        return 0

    @override
    def granted(self, lease: Lease) -> None:
        chain = lease.hints.chain
        if chain is None:
            return
        n_links = self.index.match(lease.link_id, chain)
        lease.cached_tokens = self._cached_tokens(chain, n_links)
        lease.prefill_tokens = self._uncached_tokens(chain, n_links)
        lease.queued_tokens = lease.agent.pending_prefill_tokens
        lease.ttft_s = ttft_s(lease.agent, lease.prefill_tokens, self._usual_tokens_per_s)
        lease.agent.pending_prefill_tokens += lease.prefill_tokens
        self.index.expect(lease.link_id, chain)
        if lease.hints.pin is not None:
            self.index.pin(lease.hints.pin, lease.link_id)

    @override
    def began(self, lease: Lease, prompt_tokens: int, cached_tokens: int) -> None:
        chain = lease.hints.chain
        if chain is None or lease.has_begun:
            return
        self._bytes_per_token.learn(chain.n_bytes, prompt_tokens)
        missing = lease.cached_tokens - cached_tokens
        if missing > max(DOUBTFUL_TOKENS, DOUBTFUL_SHARE * lease.cached_tokens):
            held_bytes = cached_tokens * self._bytes_per_token.ratio
            n_held = sum(end <= held_bytes for end in chain.ends_bytes)
            self.index.doubt(lease.link_id, chain, n_held + 1)
        self.index.confirm(lease.link_id, chain)
        self._set_pending(lease, max(0.0, float(prompt_tokens - cached_tokens)))

    @override
    def prefilled(self, lease: Lease) -> None:
        self._set_pending(lease, 0.0)

    @override
    def released(self, lease: Lease) -> None:
        self._set_pending(lease, 0.0)
        if lease.hints.chain is not None and not lease.has_begun:
            self.index.expect_no_more(lease.link_id, lease.hints.chain)

    @override
    def reported(self, agent: AgentSlots, tips: Collection[int]) -> None:
        self.index.report(agent.link_id, tips)

    @override
    def forget(self, agent: AgentSlots) -> None:
        self.index.forget(agent.link_id)

    def _cached_tokens(self, chain: PrefixChain, n_links: int) -> float:
        return chain.ends_bytes[n_links - 1] / self._bytes_per_token.ratio if n_links else 0.0

    def _uncached_tokens(self, chain: PrefixChain, n_links: int) -> float:
        prompt_tokens = chain.n_bytes / self._bytes_per_token.ratio
        return max(1.0, prompt_tokens - self._cached_tokens(chain, n_links))

    def _displacement_s(
        self, agent: AgentSlots, holding: Holding, chain: PrefixChain, n_links: int
    ) -> float:
        """What the request costs whoever it pushes out of the agent's caches."""
        if n_links and chain.hashes[n_links - 1] in holding.tips:
            return 0.0  # a prompt that it holds ends there, and this one extends it
        lost = lost_bytes(
            len(holding.tips),
            holding.n_bytes / len(holding.tips),
            chain.ends_bytes[n_links - 1] if n_links else 0.0,
            agent.n_slots,
        )
        speed = agent.prefill_tokens_per_s or self._usual_tokens_per_s
        return lost / self._bytes_per_token.ratio / speed

    def _lost_s(self, agent: AgentSlots, chain: PrefixChain | None) -> float:
        """The prefill time that a request loses if it is served here and not where it is cached."""
        if chain is None:
            return 0.0
        matches = self.index.matches(chain)
        if not matches:
            return 0.0
        here_tokens = self._cached_tokens(chain, matches.get(agent.link_id, 0))
        best_tokens = self._cached_tokens(chain, max(matches.values()))
        speed = agent.prefill_tokens_per_s or self._usual_tokens_per_s
        return (best_tokens - here_tokens) / speed

    @staticmethod
    def _set_pending(lease: Lease, tokens: float) -> None:
        lease.agent.pending_prefill_tokens += tokens - lease.prefill_tokens
        lease.prefill_tokens = tokens
