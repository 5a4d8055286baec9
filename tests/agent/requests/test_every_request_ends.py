"""Random traffic, swaps, cancellations and lost links: every request ends exactly once.

Virtual time, seeded.
"""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from paddler.messages.embeddings import EmbeddingDocument
from paddler.messages.generation import TERMINAL_EVENTS
from paddler.messages.link import Embed, EmbeddingEvents, EventBatch, HandedOver
from tests.support.agent_harness import Harness, StandInLink, running_agent, state_of
from tests.support.scripted_engine import ModelScript

N_ACTIONS = 150


class Traffic:
    """What was asked on one link, and what became of it."""

    def __init__(self, link: StandInLink) -> None:
        self.link = link
        self.generations: set[int] = set()
        self.embeddings: set[int] = set()
        self.cancelled: set[int] = set()

    def endings(self) -> dict[int, int]:
        """How often each request has ended."""
        counts = dict.fromkeys(self.generations | self.embeddings, 0)
        ended: list[int] = []
        for frame in self.link.frames:
            match frame:
                case EventBatch(batch):
                    for request in batch:
                        ended += [
                            request.request_id
                            for event in request.events
                            if isinstance(event, TERMINAL_EVENTS)
                        ]
                case EmbeddingEvents(request_id=request_id, done=True):
                    ended.append(request_id)
                case HandedOver(request_ids):
                    ended += request_ids
        for request_id in ended:
            counts[request_id] += 1
        return counts

    def check(self, *, complete: bool) -> None:
        """Nothing ends twice; if `complete`, what nobody cancelled has ended."""
        for request_id, n_endings in self.endings().items():
            assert n_endings <= 1, request_id
            if complete and request_id not in self.cancelled:
                assert n_endings == 1, request_id


async def act(agent: Harness, traffic: Traffic, choose: random.Random, request_id: int) -> Traffic:
    """Do one random thing."""
    link = traffic.link
    match choose.choices(["generate", "embed", "cancel", "swap", "lose"], [60, 10, 15, 10, 2])[0]:
        case "generate":
            traffic.generations.add(request_id)
            await link.generate(request_id, "x")
        case "embed":
            traffic.embeddings.add(request_id)
            documents = [EmbeddingDocument(str(i), "text") for i in range(choose.randrange(40))]
            await link.send(Embed(request_id=request_id, documents=documents))
        case "cancel" if traffic.generations | traffic.embeddings:
            cancelled = choose.choice(sorted(traffic.generations | traffic.embeddings))
            traffic.cancelled.add(cancelled)
            await link.cancel(cancelled)
        case "swap":
            version = choose.randrange(4)
            name = ["1.gguf", "2.gguf", "broken.gguf", None][version]
            await link.apply(
                state_of(name, enable_embeddings=True), version, choose.choice([0.0, 1.0, 30.0])
            )
        case "lose":
            traffic.check(complete=False)
            await link.break_off()
            return Traffic(await agent.balancer.welcome())
        case _:
            pass
    return traffic


@pytest.mark.parametrize("seed", range(8))
async def test_every_request_ends_exactly_once(autojump_clock: MockClock, seed: int) -> None:
    choose = random.Random(seed)
    scripts = {
        "1.gguf": ModelScript(reply="abc" * 10, token_interval_s=0.05, load_s=0.5),
        "2.gguf": ModelScript(reply="abc", token_interval_s=0.5, load_s=0.1),
    }
    async with running_agent(scripts, slots=3) as agent:
        traffic = Traffic(await agent.balancer.welcome())
        await traffic.link.apply(state_of("1.gguf", enable_embeddings=True), 0)
        for request_id in range(N_ACTIONS):
            traffic = await act(agent, traffic, choose, request_id)
            await trio.sleep(choose.expovariate(1 / 0.3))
            assert len(agent.backend.open_engines) <= 1
        if choose.random() < 0.5:
            agent.stop.set()
            with trio.fail_after(5):
                await agent.stopped.wait()
        else:
            await trio.sleep(300)
        traffic.check(complete=True)
        for engine in agent.backend.opened:
            assert engine.running == {}
