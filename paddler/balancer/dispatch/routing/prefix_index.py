"""Which agent holds which prompt prefixes in its KV caches.

Agents report the tips of the chains that they hold, in slots and in host
memory; what is not reported is not there. Between a request's grant and its
agent's word that it began, the chain is expected: counted, and not dropped by
a report that is older than it.

Bounded by the number of chain links over all agents; the chain that was used
least recently goes first.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Collection, Mapping, Set

from paddler.balancer.dispatch.prefix_chain import PrefixChain

MAX_LINKS_HELD = 262_144
MAX_PINS = 65_536


@dataclasses.dataclass(slots=True)
class _Held:
    hashes: tuple[int, ...]
    n_bytes: int
    n_expecting: int
    is_confirmed: bool


@dataclasses.dataclass(slots=True)
class Holding:
    """What one agent holds: the tips of its chains, and their content's length."""

    tips: set[int] = dataclasses.field(default_factory=set)
    n_bytes: int = 0


_NOTHING: frozenset[int] = frozenset()


class PrefixIndex:
    """Chains by agent, and agents by prefix.

    Args:
        max_links: Most chain links held, over all agents.
    """

    def __init__(self, max_links: int = MAX_LINKS_HELD) -> None:
        self._max_links = max_links
        self._n_links = 0
        self._held: OrderedDict[tuple[int, int], _Held] = OrderedDict()
        self._holdings: dict[int, Holding] = {}
        self._holders: dict[int, dict[int, int]] = {}
        self._reporting: set[int] = set()
        self._pins: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def n_links(self) -> int:
        """Chain links held, over all agents."""
        return self._n_links

    def expect(self, link_id: int, chain: PrefixChain) -> None:
        """A request with `chain` was given to the agent."""
        held = self._held.get((link_id, chain.tip))
        if held is None:
            held = self._add(link_id, chain.tip, chain.hashes, chain.n_bytes)
        held.n_expecting += 1
        self._held.move_to_end((link_id, chain.tip))
        self._shrink()

    def confirm(self, link_id: int, chain: PrefixChain) -> None:
        """The agent began to work on it: the shorter chains it grew from are part of it now."""
        held = self._held.get((link_id, chain.tip))
        if held is None:
            return
        held.n_expecting = max(0, held.n_expecting - 1)
        held.is_confirmed = True
        for tip in chain.hashes[:-1]:
            shorter = self._held.get((link_id, tip))
            if shorter is not None and shorter.n_expecting == 0:
                self._remove(link_id, tip)

    def expect_no_more(self, link_id: int, chain: PrefixChain) -> None:
        """The request ended before the agent began to work on it."""
        held = self._held.get((link_id, chain.tip))
        if held is None:
            return
        held.n_expecting = max(0, held.n_expecting - 1)
        if held.n_expecting == 0 and not held.is_confirmed:
            self._remove(link_id, chain.tip)

    def report(self, link_id: int, tips: Collection[int]) -> None:
        """The agent holds the chains that end in `tips`, and no others."""
        self._reporting.add(link_id)
        reported = set(tips)
        for tip in self._tips(link_id) - reported:
            if self._held[link_id, tip].n_expecting == 0:
                self._remove(link_id, tip)
        for tip in reported - self._tips(link_id):
            self._add(link_id, tip, (tip,), 0).is_confirmed = True
        self._shrink()

    def doubt(self, link_id: int, chain: PrefixChain, n_links: int) -> None:
        """The agent did not hold what was thought: forget what shares `chain`'s first links.

        Not if it reports what it holds: then a prefix was expected that is
        still being prefilled, and what was reported stands.
        """
        if n_links < 1 or link_id in self._reporting:
            return
        shared = chain.hashes[n_links - 1]
        for tip in list(self._tips(link_id)):
            held = self._held[link_id, tip]
            if tip != chain.tip and held.n_expecting == 0 and shared in held.hashes:
                self._remove(link_id, tip)

    def forget(self, link_id: int) -> None:
        """The agent left, or its model or template changed."""
        self._reporting.discard(link_id)
        for tip in list(self._tips(link_id)):
            self._remove(link_id, tip)

    def matches(self, chain: PrefixChain) -> dict[int, int]:
        """For each agent that holds a prefix: how many links of `chain` it holds."""
        found: dict[int, int] = {}
        depth = 0
        for link_hash in chain.hashes:
            if link_hash not in self._holders:
                break
            depth += 1
        if depth < len(chain.hashes):
            depth = self._deepest_known(chain, depth)
        for position in range(depth, 0, -1):
            holders = self._holders.get(chain.hashes[position - 1])
            if holders is not None and not holders.keys() <= found.keys():
                for link_id in holders:
                    found.setdefault(link_id, position)
        return found

    def match(self, link_id: int, chain: PrefixChain) -> int:
        """How many links of `chain` the agent holds."""
        for position in range(len(chain.hashes), 0, -1):
            holders = self._holders.get(chain.hashes[position - 1])
            if holders is not None and link_id in holders:
                return position
        return 0

    @property
    def holdings(self) -> Mapping[int, Holding]:
        """What each agent holds that holds anything."""
        return self._holdings

    def pin(self, pin: int, link_id: int) -> None:
        """The conversation that the client calls `pin` was served there last."""
        self._pins[pin] = link_id
        self._pins.move_to_end(pin)
        if len(self._pins) > MAX_PINS:
            self._pins.popitem(last=False)

    def pinned(self, pin: int) -> int | None:
        """Where the conversation was served last."""
        return self._pins.get(pin)

    def _tips(self, link_id: int) -> Set[int]:
        holding = self._holdings.get(link_id)
        return holding.tips if holding is not None else _NOTHING

    def _deepest_known(self, chain: PrefixChain, depth: int) -> int:
        # Chains of which only the tip was reported know no inner links.
        for position in range(len(chain.hashes), depth, -1):
            if chain.hashes[position - 1] in self._holders:
                return position
        return depth

    def _add(self, link_id: int, tip: int, hashes: tuple[int, ...], n_bytes: int) -> _Held:
        held = _Held(hashes, n_bytes, 0, False)
        self._held[link_id, tip] = held
        holding = self._holdings.setdefault(link_id, Holding())
        holding.tips.add(tip)
        holding.n_bytes += n_bytes
        self._n_links += len(hashes)
        for link_hash in hashes:
            holders = self._holders.setdefault(link_hash, {})
            holders[link_id] = holders.get(link_id, 0) + 1
        return held

    def _remove(self, link_id: int, tip: int) -> None:
        held = self._held.pop((link_id, tip))
        holding = self._holdings[link_id]
        holding.tips.discard(tip)
        holding.n_bytes -= held.n_bytes
        if not holding.tips:
            del self._holdings[link_id]
        self._n_links -= len(held.hashes)
        for link_hash in held.hashes:
            holders = self._holders[link_hash]
            holders[link_id] -= 1
            if holders[link_id] == 0:
                del holders[link_id]
                if not holders:
                    del self._holders[link_hash]

    def _shrink(self) -> None:
        while self._n_links > self._max_links and len(self._held) > 1:
            link_id, tip = next(iter(self._held))
            self._remove(link_id, tip)
