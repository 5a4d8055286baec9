"""Conversations find the agent that holds them, through the whole core."""

from __future__ import annotations

import random

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.balancer.dispatch.prefix_chain import chain_of
from paddler.balancer.dispatch.routing.cost_router import CostRouter
from paddler.balancer.requests.items import GenerationItem, GenerationStart
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.conversation import Message
from paddler.messages.generation import ConversationPrompt, GenerationOrder, GenerationStarted
from paddler.messages.link import CacheReport, Generate
from tests.balancer.core import Core, desired_state, open_core
from tests.support.scripted_agents import ScriptedAgent, connected, done, hello, token

SYSTEM = Message("system", "You are an assistant. " * 200)


def turn(name: str, n_turns: int) -> GenerationOrder:
    said = [Message("user", f"{name} says {number} " * 500) for number in range(n_turns)]
    return GenerationOrder(prompt=ConversationPrompt([SYSTEM, *said]))


async def answer(agent: ScriptedAgent) -> None:
    """Serve whatever comes, reusing all of what was seen before."""
    tips: list[int] = []
    known: set[int] = set()
    while True:
        request = await agent.next(Generate)
        chain = chain_of(request.order)
        cached = [
            end for link, end in zip(chain.hashes, chain.ends_bytes, strict=True) if link in known
        ]
        n_cached = cached[-1] // 4 if cached else 0
        await agent.events(request.request_id, GenerationStarted(0, chain.n_bytes // 4, n_cached))
        known.update(chain.hashes)
        tips.append(chain.tip)
        await agent.send(CacheReport(tips))
        await agent.events(request.request_id, token("ok", 1), done())


async def served_by(core: Core, order: GenerationOrder) -> str | None:
    async with trio.open_nursery() as nursery:
        outbox: Mailbox[GenerationItem] = Mailbox(100)
        start: GenerationStart = await nursery.start(core.generations.run, order, outbox)
    await wait_all_tasks_blocked()
    return start.agent_name


async def test_every_turn_goes_to_the_agent_of_the_first(autojump_clock: MockClock) -> None:
    async with (
        open_core(router=CostRouter(random.Random(0))) as core,
        connected(core.fleet, *[hello(str(n), slots=2) for n in range(3)]) as agents,
        trio.open_nursery() as nursery,
    ):
        for agent in agents:
            nursery.start_soon(answer, agent)
        homes = {}
        for name in "abcdefgh":
            homes[name] = await served_by(core, turn(name, 1))
        assert len(set(homes.values())) > 1
        for n_turns in range(2, 5):
            for name, home in homes.items():
                assert await served_by(core, turn(name, n_turns)) == home
        nursery.cancel_scope.cancel()


async def test_request_carries_the_chain_of_its_prompt(autojump_clock: MockClock) -> None:
    async with (
        open_core(router=CostRouter(random.Random(0))) as core,
        connected(core.fleet, hello()) as [agent],
        trio.open_nursery() as nursery,
    ):
        order = turn("a", 2)
        nursery.start_soon(core.generations.run, order, Mailbox[GenerationItem](100))
        request = await agent.next(Generate)
        assert request.prefix_chain == list(chain_of(order).hashes)
        nursery.cancel_scope.cancel()


async def test_new_state_makes_old_caches_worthless(autojump_clock: MockClock) -> None:
    router = CostRouter(random.Random(0))
    async with (
        open_core(router=router) as core,
        connected(core.fleet, hello("one"), hello("two")) as agents,
        trio.open_nursery() as nursery,
    ):
        for agent in agents:
            nursery.start_soon(answer, agent)
        await served_by(core, turn("a", 1))
        chain = chain_of(turn("a", 2))
        assert router.index.matches(chain)
        await core.states.put(desired_state("/other.gguf"))
        await wait_all_tasks_blocked()
        assert not router.index.matches(chain)
        await served_by(core, turn("a", 2))
        assert router.index.matches(chain)
        for agent in agents:
            await agent.vanish()
        await wait_all_tasks_blocked()
        assert not router.index.matches(chain)
        nursery.cancel_scope.cancel()
