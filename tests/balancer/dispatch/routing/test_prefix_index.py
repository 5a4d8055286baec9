"""The prefix index against a model that keeps plain sets."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from paddler.balancer.dispatch.prefix_chain import PrefixChain
from paddler.balancer.dispatch.routing.prefix_index import PrefixIndex

LINKS = [1, 2, 3]
links = st.sampled_from(LINKS)


def chain(*words: int) -> PrefixChain:
    """A chain in which each link's hash stands for all words up to it."""
    hashes = tuple(hash(words[: length + 1]) & (2**62 - 1) for length in range(len(words)))
    return PrefixChain(hashes, tuple(range(1, len(words) + 1)))


chains = st.lists(st.integers(0, 2), min_size=1, max_size=5).map(lambda words: chain(*words))


class PrefixIndexMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.index = PrefixIndex()
        self.confirmed: dict[int, dict[int, PrefixChain]] = {link: {} for link in LINKS}
        self.expected: dict[int, list[PrefixChain]] = {link: [] for link in LINKS}

    @rule(link=links, asked=chains)
    def request_is_given(self, link: int, asked: PrefixChain) -> None:
        self.index.expect(link, asked)
        self.expected[link].append(asked)

    @rule(link=links, data=st.data())
    def request_begins(self, link: int, data: st.DataObject) -> None:
        if not self.expected[link]:
            return
        begun = data.draw(st.sampled_from(self.expected[link]))
        self.expected[link].remove(begun)
        self.index.confirm(link, begun)
        self.confirmed[link][begun.tip] = begun
        for tip in begun.hashes[:-1]:
            if all(other.tip != tip for other in self.expected[link]):
                self.confirmed[link].pop(tip, None)

    @rule(link=links, data=st.data())
    def request_ends_before_it_begins(self, link: int, data: st.DataObject) -> None:
        if not self.expected[link]:
            return
        ended = data.draw(st.sampled_from(self.expected[link]))
        self.expected[link].remove(ended)
        self.index.expect_no_more(link, ended)

    @rule(link=links, data=st.data())
    def agent_reports(self, link: int, data: st.DataObject) -> None:
        known = sorted(self.confirmed[link])
        kept = data.draw(st.lists(st.sampled_from(known), unique=True)) if known else []
        self.index.report(link, kept)
        expected = {asked.tip for asked in self.expected[link]}
        self.confirmed[link] = {
            tip: held
            for tip, held in self.confirmed[link].items()
            if tip in kept or tip in expected
        }

    @rule(link=links)
    def agent_leaves(self, link: int) -> None:
        self.index.forget(link)
        self.confirmed[link] = {}
        self.expected[link] = []

    def depth(self, link: int, asked: PrefixChain) -> int:
        held = [*self.confirmed[link].values(), *self.expected[link]]
        nodes = {link_hash for one in held for link_hash in one.hashes}
        return sum(link_hash in nodes for link_hash in asked.hashes)

    @invariant()
    def matches_are_what_the_model_says(self) -> None:
        for words in ((0,), (0, 1), (0, 1, 2, 0), (1, 1, 1, 1, 1), (2, 0, 2)):
            asked = chain(*words)
            expected = {link: self.depth(link, asked) for link in LINKS}
            assert self.index.matches(asked) == {k: v for k, v in expected.items() if v}
            for link in LINKS:
                assert self.index.match(link, asked) == expected[link]

    @invariant()
    def nothing_is_left_of_what_is_not_held(self) -> None:
        if not any(self.confirmed.values()) and not any(self.expected.values()):
            assert len(self.index) == 0
            assert self.index.n_links == 0
            assert not self.index._holders


TestPrefixIndexMachine = PrefixIndexMachine.TestCase


def test_index_is_bounded_and_keeps_what_was_used_last() -> None:
    index = PrefixIndex(max_links=30)
    for number in range(100):
        one = chain(number, 1, 2)
        index.expect(1, one)
        index.confirm(1, one)
    assert index.n_links <= 30
    assert index.match(1, chain(99, 1, 2)) == 3
    assert index.match(1, chain(0, 1, 2)) == 0


def test_tip_that_only_the_agent_knows_is_learned_from_its_report() -> None:
    index = PrefixIndex()
    before = chain(5, 6, 7)
    index.report(1, [before.tip])
    assert index.matches(chain(5, 6, 7, 8)) == {1: 3}
    assert index.match(1, chain(5, 6, 8)) == 0


def test_report_does_not_drop_what_is_on_its_way() -> None:
    index = PrefixIndex()
    index.expect(1, chain(1, 2))
    index.report(1, [])
    assert index.match(1, chain(1, 2)) == 2


def test_doubt_forgets_what_shares_the_doubtful_part() -> None:
    index = PrefixIndex()
    for words in ((1, 2, 3), (1, 2, 4), (1, 5)):
        index.expect(1, chain(*words))
        index.confirm(1, chain(*words))
    index.doubt(1, chain(1, 2, 3), 2)
    assert index.match(1, chain(1, 2, 4)) == 2
    assert index.match(1, chain(1, 2, 3)) == 3
    assert index.match(1, chain(1, 5)) == 2


def test_pins_follow_the_conversation() -> None:
    index = PrefixIndex()
    assert index.pinned(7) is None
    index.pin(7, 1)
    index.pin(7, 2)
    assert index.pinned(7) == 2


def test_agent_that_reports_is_not_doubted() -> None:
    index = PrefixIndex()
    for words in ((1, 2, 3), (1, 2, 4)):
        index.expect(1, chain(*words))
        index.confirm(1, chain(*words))
    index.report(1, [chain(1, 2, 3).tip, chain(1, 2, 4).tip])
    index.doubt(1, chain(1, 2, 3), 2)
    assert index.match(1, chain(1, 2, 4)) == 3
