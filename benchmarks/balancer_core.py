"""What the balancer's core costs: tokens through it, and routing decisions.

    python -m benchmarks.balancer_core

Agents are in this process and speak encoded link frames over memory channels,
so their own encoding is measured too; sockets and HTTP are not. Every stream
has a reader that takes what is there, as the HTTP edge does.
"""

from __future__ import annotations

import argparse
import random
import time

import msgspec
import trio

from paddler.balancer.deployments.desired_state import DesiredStates
from paddler.balancer.dispatch.buffer import Buffer
from paddler.balancer.dispatch.pool import Router, SlotPool
from paddler.balancer.dispatch.prefix_chain import chain_of
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.dispatch.routing.cost_router import CostRouter, LeastBusyRouter
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.requests.generations import Generations
from paddler.balancer.requests.items import GenerationItem
from paddler.balancer.requests.observations import NullObserver
from paddler.balancer.state_database.memory import MemoryStateDatabase
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.conversation import Message
from paddler.messages.generation import (
    ConversationPrompt,
    GenerationEvent,
    GenerationOrder,
    RawPrompt,
    TokenEvent,
)
from paddler.messages.link import EventBatch, Generate, RequestEvents
from tests.support.scripted_agents import ScriptedAgent, done, hello, start_agent, token

ORDER = GenerationOrder(prompt=RawPrompt("Once upon a time"), max_tokens=1000)


async def tokens_per_second(n_agents: int, n_slots: int, n_tokens: int) -> tuple[float, float]:
    """Tokens/s through the core, and events per wake-up of a reader."""
    buffer = Buffer(router=LeastBusyRouter(random.Random(0)), max_waiting=0, timeout_s=10)
    fleet = Fleet(buffer)
    states = DesiredStates(fleet=fleet, database=MemoryStateDatabase())
    await states.load()
    generations = Generations(
        fleet=fleet, buffer=buffer, item_timeout_s=30, observer=NullObserver()
    )
    n_streams = n_agents * n_slots
    n_items = n_wakes = 0
    async with trio.open_nursery() as nursery:
        await nursery.start(states.run)
        agents = []
        for number in range(n_agents):
            agent = start_agent(
                nursery,
                fleet,
                f"a{number}",
                agent_hello=hello(slots=n_slots),
                n_frames=16,
            )
            await agent.send(agent.hello)
            agents.append(agent)
        while fleet.slots_total < n_streams:
            await fleet.condition.wait_past(fleet.condition.version)
        outboxes: list[Mailbox[GenerationItem]] = [Mailbox(100_000) for _ in range(n_streams)]
        for outbox in outboxes:
            await nursery.start(generations.run, ORDER, outbox)
        began = time.perf_counter()

        async def read(outbox: Mailbox[GenerationItem]) -> None:
            nonlocal n_items, n_wakes
            async for items in outbox:
                n_wakes += 1
                n_items += sum(type(item) is TokenEvent for item in items)

        async with trio.open_nursery() as streams:
            for outbox in outboxes:
                streams.start_soon(read, outbox)
            for agent in agents:
                streams.start_soon(stream_tokens, agent, n_slots, n_tokens)
        took = time.perf_counter() - began
        nursery.cancel_scope.cancel()
    return n_items / took, n_items / n_wakes


async def stream_tokens(agent: ScriptedAgent, n_slots: int, n_tokens: int) -> None:
    """One frame per step with a token of every slot, as fast as the link takes them."""
    requests = [await agent.next(Generate) for _ in range(n_slots)]
    encode = msgspec.msgpack.Encoder().encode
    for step in range(n_tokens):
        ending: list[GenerationEvent] = [done()] if step == n_tokens - 1 else []
        batch = [
            RequestEvents(request.request_id, [token(" word", step), *ending])
            for request in requests
        ]
        await agent.channel.send(encode(EventBatch(batch)))


def routing_decision_us(router: Router, orders: list[GenerationOrder], with_chain: bool) -> float:
    """Microseconds for a lease and its release: 100 agents of 8 slots, half of them busy."""
    pool = SlotPool(router, lambda: None)
    for _ in range(100):
        pool.update(
            pool.join(),
            n_slots=8,
            serves=frozenset({RequestKind.GENERATION}),
            state_version=1,
            prefill_tokens_per_s=random.Random(0).uniform(200, 2000),
        )
    hints = [SlotHints(chain=chain_of(order) if with_chain else None) for order in orders]
    held = []
    for number in range(400):
        lease = pool.try_lease(hints[number % len(hints)], pool.next_arrival())
        if lease is None:
            raise RuntimeError
        pool.began(lease, 1000, 0)
        held.append(lease)
    n_rounds = 2000
    began = time.perf_counter()
    for number in range(n_rounds):
        lease = pool.try_lease(hints[number % len(hints)], pool.next_arrival())
        if lease is None:
            raise RuntimeError
        pool.began(lease, 1000, 500)
        pool.release(lease)
    return (time.perf_counter() - began) / n_rounds * 1e6


def conversations(n_conversations: int, n_turns: int) -> list[GenerationOrder]:
    """Conversations with one system prompt of 8 kB and turns of 1.5 kB."""
    source = random.Random(1)
    system = Message("system", "You are helpful. " * 500)
    orders = []
    for _ in range(n_conversations):
        turns = [
            Message(("user", "assistant")[turn % 2], source.randbytes(750).hex())
            for turn in range(n_turns)
        ]
        orders.append(GenerationOrder(prompt=ConversationPrompt([system, *turns])))
    return orders


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=400, help="tokens per stream")
    arguments = parser.parse_args()
    print(f"{'agents x slots':>16} {'tokens/s':>12} {'events per wake-up':>20}")
    for n_agents, n_slots in ((1, 64), (8, 8), (16, 4), (64, 1)):
        rate, coalesced = trio.run(tokens_per_second, n_agents, n_slots, arguments.tokens)
        print(f"{f'{n_agents} x {n_slots}':>16} {rate:>12,.0f} {coalesced:>20.1f}")
    orders = conversations(500, 15)
    began = time.perf_counter()
    for order in orders:
        chain_of(order)
    hashing_us = (time.perf_counter() - began) / len(orders) * 1e6
    least_busy = routing_decision_us(LeastBusyRouter(random.Random(0)), orders, with_chain=False)
    by_cost = routing_decision_us(CostRouter(random.Random(0)), orders, with_chain=True)
    print(f"lease and release, 100 agents x 8 slots, least busy: {least_busy:.0f} us")
    print(f"lease and release, 100 agents x 8 slots, by cost: {by_cost:.0f} us")
    print(f"hash chain of a conversation of 30 kB: {hashing_us:.0f} us")


if __name__ == "__main__":
    main()
