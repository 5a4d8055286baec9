"""Random traffic over agents that come, go, hand over and swap: nothing is lost or repeated."""

from __future__ import annotations

import contextlib
import random

import hypothesis.strategies as st
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.balancer.dispatch.errors import DispatchError
from paddler.balancer.dispatch.routing.cost_router import CostRouter
from paddler.balancer.fleet.channel import ChannelClosed
from paddler.balancer.requests.items import GenerationError, GenerationItem
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.generation import (
    GenerationDone,
    GenerationOrder,
    RawPrompt,
    TokenEvent,
)
from paddler.messages.link import CancelRequest, Generate
from tests.balancer.core import Core, desired_state, open_core
from tests.support.scripted_agents import ScriptedAgent, done, hello, start_agent, token

N_REQUESTS = 30


class Traffic:
    def __init__(self, core: Core, seed: int) -> None:
        self.core = core
        self.random = random.Random(seed)
        self.outcomes: list[str] = []
        self.n_agents = 0

    async def live(self, nursery: trio.Nursery) -> None:
        """Agents' lives, one after the other."""
        while True:
            self.n_agents += 1
            agent = start_agent(
                nursery,
                self.core.fleet,
                f"a{self.n_agents % 5}",
                agent_hello=hello(slots=self.random.randint(1, 3)),
            )
            with contextlib.suppress(ChannelClosed):
                await self.live_once(agent)
            await agent.vanish()
            await trio.sleep(self.random.uniform(0, 3))

    async def live_once(self, agent: ScriptedAgent) -> None:
        """From its hello to its sudden or polite end, or until another takes its id."""
        await agent.send(agent.hello)

        async def serve(request: Generate) -> None:
            with contextlib.suppress(ChannelClosed):
                await self.generate(agent, request)

        with trio.move_on_after(self.random.uniform(1, 30)):
            async with trio.open_nursery() as slots:
                while True:
                    slots.start_soon(serve, await agent.next(Generate))
        if self.random.random() < 0.5:
            await agent.say_leaving()

    async def generate(self, agent: ScriptedAgent, request: Generate) -> None:
        """Count upwards from where the last agent stopped, to what the prompt says."""
        assert isinstance(request.order.prompt, RawPrompt)
        n_tokens = int(request.order.prompt.text)
        first = 0
        if request.resume is not None:
            assert request.resume.token_ids == list(range(len(request.resume.token_ids)))
            first = len(request.resume.token_ids)
        for number in range(first, n_tokens):
            await trio.sleep(self.random.uniform(0, 0.5))
            cancelled = CancelRequest(request.request_id)
            if cancelled in agent.received:
                return
            if self.random.random() < 0.02:
                await agent.hand_over(request.request_id)
                return
            await agent.events(request.request_id, token("x", number))
        await agent.events(request.request_id, done())

    async def ask(self) -> None:
        await trio.sleep(self.random.uniform(0, 60))
        n_tokens = self.random.randint(0, 30)
        order = GenerationOrder(prompt=RawPrompt(str(n_tokens)))
        outbox: Mailbox[GenerationItem] = Mailbox(1000)
        items: list[GenerationItem] = []
        patience_s = self.random.choice([1.0, 5.0, 1000.0, 1000.0])

        async def read() -> None:
            async for taken in outbox:
                items.extend(taken)

        outcome = "cancelled"
        with trio.move_on_after(patience_s):
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.core.generations.run, order, outbox)
                    await read()
                outcome = "error" if isinstance(items[-1], GenerationError) else "done"
            except* DispatchError:
                outcome = "refused"
        numbers = [n for item in items if isinstance(item, TokenEvent) for n in item.token_ids]
        assert numbers == list(range(len(numbers)))
        if outcome == "done":
            assert len(numbers) == n_tokens
            assert isinstance(items[-1], GenerationDone)
        self.outcomes.append(outcome)

    async def swap(self) -> None:
        for number in range(3):
            await trio.sleep(self.random.uniform(5, 20))
            await self.core.states.put(desired_state(f"/{number}.gguf"))


@pytest.mark.parametrize("max_waiting", [0, 3, 30])
@given(seed=st.integers(0, 10**6))
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_every_request_has_one_outcome_and_every_token_comes_once(
    autojump_clock: MockClock, max_waiting: int, seed: int
) -> None:
    router = CostRouter(random.Random(seed))
    async with open_core(max_waiting=max_waiting, router=router) as core:
        traffic = Traffic(core, seed)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(traffic.live, nursery)
            nursery.start_soon(traffic.swap)
            async with trio.open_nursery() as clients:
                for _ in range(N_REQUESTS):
                    clients.start_soon(traffic.ask)
            await wait_all_tasks_blocked()
            assert core.fleet.slots_processing == 0
            assert core.buffer.waiting.value == 0
            for record in core.fleet.records:
                assert abs(record.slots.pending_prefill_tokens) < 1e-6
            nursery.cancel_scope.cancel()
        assert len(traffic.outcomes) == N_REQUESTS
        assert "done" in traffic.outcomes
        assert core.fleet.snapshot().agents == []
        assert len(router.index) == 0
