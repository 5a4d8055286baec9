"""Routing by cost, and the holes that other routers fell into."""

from __future__ import annotations

import random
from collections import Counter

from paddler.balancer.dispatch.pool import AgentSlots, Lease, SlotPool, Waiter
from paddler.balancer.dispatch.prefix_chain import PrefixChain, chain_of
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.dispatch.routing.cost_router import CostRouter
from paddler.messages.conversation import Message
from paddler.messages.generation import ConversationPrompt, GenerationOrder

SYSTEM = Message("system", "You are a tenant's assistant. " * 100)
GENERATION = frozenset({RequestKind.GENERATION})


def make_pool(max_overtakes: int = 4) -> SlotPool:
    return SlotPool(CostRouter(random.Random(0)), lambda: None, max_overtakes=max_overtakes)


def add_agent(pool: SlotPool, n_slots: int = 4, speed: float | None = 500.0) -> AgentSlots:
    agent = pool.join()
    pool.update(
        agent, n_slots=n_slots, serves=GENERATION, state_version=1, prefill_tokens_per_s=speed
    )
    return agent


def conversation(name: str, n_turns: int = 1, system: Message = SYSTEM) -> PrefixChain:
    turns = [Message("user", f"{name} {turn} " * 100) for turn in range(n_turns)]
    return chain_of(GenerationOrder(prompt=ConversationPrompt([system, *turns])))


def lease(pool: SlotPool, chain: PrefixChain | None, pin: int | None = None) -> Lease:
    granted = pool.try_lease(SlotHints(chain=chain, pin=pin), pool.next_arrival())
    assert granted is not None
    return granted


def serve(pool: SlotPool, chain: PrefixChain, pin: int | None = None) -> AgentSlots:
    """A request from its grant to its end; returns where."""
    granted = lease(pool, chain, pin)
    n_tokens = chain.n_bytes // 4
    pool.began(granted, n_tokens, min(n_tokens, round(granted.cached_tokens)))
    pool.prefilled(granted)
    pool.release(granted)
    return granted.agent


def wait(pool: SlotPool, chain: PrefixChain) -> Waiter:
    return pool.wait(SlotHints(chain=chain), pool.next_arrival(), lambda: None, is_newcomer=True)


def test_every_turn_goes_where_the_conversation_is() -> None:
    pool = make_pool()
    for _ in range(4):
        add_agent(pool)
    for name in range(12):
        first = serve(pool, conversation(str(name)))
        for n_turns in range(2, 7):
            assert serve(pool, conversation(str(name), n_turns)) is first


def test_shared_system_prompt_does_not_send_everybody_to_one_agent() -> None:
    pool = make_pool()
    for _ in range(4):
        add_agent(pool)
    held = [lease(pool, conversation(str(name))) for name in range(16)]
    assert set(Counter(one.link_id for one in held).values()) == {4}


def test_conversations_that_merely_begin_alike_fill_all_agents() -> None:
    pool = make_pool()
    agents = [add_agent(pool, n_slots=2) for _ in range(3)]
    homes = Counter(serve(pool, conversation(str(name), 10)).link_id for name in range(12))
    assert homes == Counter({agent.link_id: 4 for agent in agents})


def test_short_requests_with_a_long_common_beginning_share_one_copy_of_it() -> None:
    pool = make_pool()
    for _ in range(3):
        add_agent(pool, n_slots=2)
    homes = {serve(pool, conversation(str(name))).link_id for name in range(12)}
    assert len(homes) == 1


def test_ties_do_not_always_go_to_the_first_agent() -> None:
    chosen: Counter[int] = Counter()
    for seed in range(200):
        pool = SlotPool(CostRouter(random.Random(seed)), lambda: None)
        agents = [add_agent(pool) for _ in range(4)]
        chosen[agents.index(serve(pool, conversation("x")))] += 1
    assert len(chosen) == 4
    assert min(chosen.values()) > 25


def test_load_counts_from_the_grant_on() -> None:
    pool = make_pool()
    one, two = add_agent(pool), add_agent(pool)
    first = lease(pool, conversation("a", system=Message("system", "a")))
    second = lease(pool, conversation("b", system=Message("system", "b")))
    assert {first.agent, second.agent} == {one, two}


def test_imbalance_does_not_drop_affinity_until_it_costs_more_than_it_saves() -> None:
    pool = make_pool()
    for _ in range(2):
        add_agent(pool, n_slots=16)
    long = conversation("long", 20)
    home = serve(pool, long)
    pool.update(home, n_slots=16, serves=GENERATION, state_version=1, prefill_tokens_per_s=500.0)
    busy: list[Lease] = []
    while sum(one.agent is home for one in busy) < 8:
        granted = lease(pool, None)
        pool.prefilled(granted)
        busy.append(granted)
    assert serve(pool, conversation("long", 21)) is home
    # A queue of prompts to prefill ahead of it does cost more.
    home.pending_prefill_tokens += 100_000
    assert serve(pool, conversation("long", 22)) is not home


def test_unlike_machines_are_used_in_proportion() -> None:
    pool = make_pool()
    fast, slow = add_agent(pool, n_slots=64, speed=900.0), add_agent(pool, n_slots=64, speed=300.0)
    for number in range(40):
        lease(pool, conversation(str(number), 3, Message("system", str(number))))
    assert fast.n_leased + slow.n_leased == 40
    assert 2.0 < fast.n_leased / slow.n_leased < 4.5


def test_without_knowledge_the_least_busy_agent_is_chosen() -> None:
    pool = make_pool()
    small, large = add_agent(pool, 2, None), add_agent(pool, 8, None)
    for _ in range(5):
        lease(pool, None)
    assert (small.n_leased, large.n_leased) == (1, 4)


def test_agent_with_another_state_has_nothing_cached() -> None:
    pool = make_pool()
    agent = add_agent(pool)
    serve(pool, conversation("a"))
    assert lease(pool, conversation("a", 2)).cached_tokens > 0
    pool.update(agent, n_slots=4, serves=GENERATION, state_version=2, prefill_tokens_per_s=500.0)
    assert lease(pool, conversation("a", 2)).cached_tokens == 0


def test_agent_that_reports_an_eviction_is_not_preferred_any_more() -> None:
    pool = make_pool()
    add_agent(pool)
    add_agent(pool)
    home = serve(pool, conversation("a"))
    pool.reported(home, [conversation("a").tip])
    assert serve(pool, conversation("a", 2)) is home
    pool.reported(home, [])
    assert lease(pool, conversation("a", 3)).cached_tokens == 0


def test_agent_that_had_less_than_was_thought_is_doubted() -> None:
    pool = make_pool()
    agent = add_agent(pool)
    serve(pool, conversation("a", 2))
    serve(pool, conversation("b", 2))
    granted = lease(pool, conversation("a", 3))
    assert granted.cached_tokens > 500
    pool.began(granted, 2000, 0)
    again = lease(pool, conversation("b", 3))
    assert again.agent is agent
    assert again.cached_tokens < 1000


def rewritten(n: int) -> PrefixChain:
    """A conversation of which nothing is left as it was."""
    return conversation(str(n), system=Message("system", str(n)))


def test_named_conversation_goes_where_it_was_although_nothing_of_it_is_known() -> None:
    pool = make_pool()
    for _ in range(8):
        add_agent(pool)
    homes = {serve(pool, rewritten(n), pin=42).link_id for n in range(4)}
    assert len(homes) == 1


def test_name_gives_way_to_what_is_known_to_be_cached() -> None:
    pool = make_pool()
    for _ in range(8):
        add_agent(pool)
    home = serve(pool, conversation("a", 10))
    pin = 42
    while serve(pool, rewritten(pin), pin=pin) is home:
        pin += 1
    granted = lease(pool, conversation("a", 11), pin=pin)
    assert granted.agent is home
    assert granted.why == "cached"


def test_name_that_many_conversations_share_does_not_pile_them_up_at_one_agent() -> None:
    pool = make_pool()
    agents = [add_agent(pool, n_slots=2) for _ in range(4)]
    homes = Counter(serve(pool, rewritten(n), pin=42).link_id for n in range(40))
    assert set(homes) == {agent.link_id for agent in agents}
    assert max(homes.values()) <= 20


def test_name_does_not_make_a_request_wait_behind_others() -> None:
    pool = make_pool()
    add_agent(pool)
    add_agent(pool)
    home = serve(pool, rewritten(0), pin=42)
    home.pending_prefill_tokens += 2_000
    assert lease(pool, rewritten(1), pin=42).agent is not home


def test_lease_says_why_its_agent_was_chosen() -> None:
    pool = make_pool()
    add_agent(pool, n_slots=1)
    assert lease(pool, None).why == "only_free"
    waiter = wait(pool, conversation("a"))
    add_agent(pool, n_slots=2)
    assert waiter.lease is not None
    assert waiter.lease.why == "waited"
    home = add_agent(pool, n_slots=2)
    first = lease(pool, rewritten(1), pin=7)
    assert (first.agent, first.why) == (home, "cheapest")
    assert lease(pool, None).why == "least_busy"
    pool.release(first)
    assert lease(pool, rewritten(2), pin=7).why == "pinned"


def busy_pair(pool: SlotPool) -> tuple[Lease, Lease]:
    """Two agents of one slot each, both leased to short requests."""
    for _ in range(2):
        add_agent(pool, n_slots=1, speed=100.0)
    return lease(pool, None), lease(pool, None)


def put(pool: SlotPool, agent: AgentSlots, chain: PrefixChain) -> None:
    """Let `agent` hold the prompt of `chain`."""
    router = pool._router
    assert isinstance(router, CostRouter)
    router.index.expect(agent.link_id, chain)
    router.index.confirm(agent.link_id, chain)


def test_waiter_is_passed_over_while_its_conversation_is_elsewhere_within_bounds() -> None:
    pool = make_pool(max_overtakes=2)
    here, there = busy_pair(pool)
    put(pool, here.agent, conversation("system prompt"))
    put(pool, there.agent, conversation("first", 5))
    first = wait(pool, conversation("first", 6))
    others = [wait(pool, conversation(f"other {n}", 5)) for n in range(4)]
    pool.release(here)
    order: list[Waiter] = []
    while len(order) < 5:
        [served] = [w for w in (first, *others) if w.lease is not None and w not in order]
        order.append(served)
        assert served.lease is not None
        pool.release(served.lease)
    assert order == [*others[:2], first, *others[2:]]


def test_waiter_that_was_passed_over_gets_the_slot_where_its_conversation_is() -> None:
    pool = make_pool(max_overtakes=4)
    here, there = busy_pair(pool)
    put(pool, here.agent, conversation("system prompt"))
    put(pool, there.agent, conversation("first", 5))
    first = wait(pool, conversation("first", 6))
    second = wait(pool, conversation("second", 5))
    pool.release(here)
    assert first.lease is None
    assert second.lease is not None
    pool.release(there)
    assert first.lease is not None
    assert first.lease.agent is there.agent


def test_waiters_that_lose_nothing_keep_their_order() -> None:
    pool = make_pool(max_overtakes=4)
    here, there = busy_pair(pool)
    put(pool, here.agent, conversation("third", 20))
    for agent in (here.agent, there.agent):
        put(pool, agent, conversation("everybody's"))
    waiters = [wait(pool, conversation(name, 20)) for name in ("first", "second", "third")]
    pool.release(here)
    assert [waiter.lease is not None for waiter in waiters] == [True, False, False]


def test_nobody_is_passed_over_if_nobody_else_could_use_the_slot_better() -> None:
    pool = make_pool(max_overtakes=4)
    here, there = busy_pair(pool)
    put(pool, there.agent, conversation("a", 5))
    waiters = [wait(pool, conversation("a", 6)), wait(pool, conversation("a", 7))]
    pool.release(here)
    assert waiters[0].lease is not None


def test_without_overtaking_the_order_is_strict() -> None:
    pool = make_pool(max_overtakes=0)
    here, there = busy_pair(pool)
    put(pool, there.agent, conversation("first", 5))
    first = wait(pool, conversation("first", 6))
    second = wait(pool, conversation("second", 5))
    pool.release(here)
    assert first.lease is not None
    assert second.lease is None


def test_pending_prefill_returns_to_nothing() -> None:
    pool = make_pool()
    agent = add_agent(pool, n_slots=8)
    held = [lease(pool, conversation(str(n), n + 1)) for n in range(6)]
    assert agent.pending_prefill_tokens > 0
    pool.began(held[0], 500, 100)
    pool.prefilled(held[0])
    pool.prefilled(held[0])
    pool.began(held[1], 700, 0)
    for one in held:
        pool.release(one)
    assert abs(agent.pending_prefill_tokens) < 1e-6
