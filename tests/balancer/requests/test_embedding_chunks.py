"""Embedding batches over scripted agents, in virtual time."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.balancer.requests.embedding_batches import chunk_sizes
from paddler.balancer.requests.errors import BufferFull, EmbeddingsNotEnabled, NoAgents
from paddler.balancer.requests.items import (
    EmbeddedDocument,
    EmbeddingChunkFailed,
    EmbeddingItem,
    EmbeddingStart,
    GenerationError,
)
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.embeddings import (
    DocumentEmbedding,
    DocumentFailed,
    DocumentTooLong,
    EmbeddingDocument,
    GenerateEmbeddingBatch,
)
from paddler.messages.link import Embed, Hello
from tests.balancer.core import Core, desired_state, open_core
from tests.support.scripted_agents import ScriptedAgent, hello, model_description, start_agent

EMBEDDING_STATE = desired_state(enable_embeddings=True, embedding_batch_size=2)


def batch(n_documents: int) -> GenerateEmbeddingBatch:
    documents = [EmbeddingDocument(f"d{n}", f"text {n}") for n in range(n_documents)]
    return GenerateEmbeddingBatch(input_batch=documents, normalization_method="L2")


def can_embed(agent: ScriptedAgent) -> None:
    agent.model = model_description(can_embed=True, pooling_type="Mean")


async def join(nursery: trio.Nursery, core: Core, *hellos: Hello) -> list[ScriptedAgent]:
    agents = []
    for agent_hello in hellos:
        agent = start_agent(
            nursery, core.fleet, str(agent_hello.name), agent_hello=agent_hello, setup=can_embed
        )
        await agent.send(agent.hello)
        agents.append(agent)
    await wait_all_tasks_blocked()
    return agents


async def answer_all(agent: ScriptedAgent) -> None:
    while True:
        await agent.embed_all(await agent.next(Embed))


async def collect(outbox: Mailbox[EmbeddingItem]) -> list[EmbeddingItem]:
    return [item async for items in outbox for item in items]


def answered(items: list[EmbeddingItem]) -> Counter[str]:
    return Counter(i.result.document_id for i in items if isinstance(i, EmbeddedDocument))


@given(st.integers(0, 500), st.integers(0, 20), st.integers(1, 300))
def test_chunks_are_even_and_as_many_as_the_contract_says(
    n_documents: int, n_agents: int, largest: int
) -> None:
    sizes = chunk_sizes(n_documents, n_agents, largest)
    expected = min(n_documents, max(n_agents, math.ceil(n_documents / largest)))
    assert len(sizes) == expected
    assert sum(sizes) == n_documents
    assert max(sizes, default=0) <= largest
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


async def test_every_document_is_answered_once_over_all_agents(autojump_clock: MockClock) -> None:
    async with open_core(desired=EMBEDDING_STATE) as core, trio.open_nursery() as nursery:
        agents = await join(nursery, core, hello("one"), hello("two"))
        for agent in agents:
            nursery.start_soon(answer_all, agent)
        outbox: Mailbox[EmbeddingItem] = Mailbox(1000)
        start: EmbeddingStart = await nursery.start(core.embeddings.run, batch(7), outbox)
        assert start.agent_name in {"one", "two"}
        items = await collect(outbox)
        assert answered(items) == Counter(f"d{n}" for n in range(7))
        for item in items:
            assert isinstance(item, EmbeddedDocument)
            assert item.pooling_type == "Mean"
            assert isinstance(item.result, DocumentEmbedding)
            number = item.result.document_id.removeprefix("d")
            assert item.result.vector == f"text {number}".encode()
        assert {i.agent_name for i in items if isinstance(i, EmbeddedDocument)} == {"one", "two"}
        nursery.cancel_scope.cancel()


async def test_lost_agent_loses_and_repeats_no_document(autojump_clock: MockClock) -> None:
    state = desired_state(enable_embeddings=True, embedding_batch_size=100)
    async with open_core(desired=state) as core, trio.open_nursery() as nursery:
        [one] = await join(nursery, core, hello("one"))
        outbox: Mailbox[EmbeddingItem] = Mailbox(1000)
        await nursery.start(core.embeddings.run, batch(5), outbox)
        request = await one.next(Embed)
        first = request.documents[1]
        await one.embeddings(request, DocumentEmbedding(first.id, b"", 1), is_done=False)
        await wait_all_tasks_blocked()
        await one.vanish()
        [two] = await join(nursery, core, hello("two"))
        request = await two.next(Embed)
        assert len(request.documents) == 4
        await two.embed_all(request)
        assert answered(await collect(outbox)) == Counter(f"d{n}" for n in range(5))
        nursery.cancel_scope.cancel()


async def test_documents_may_share_an_id(autojump_clock: MockClock) -> None:
    async with open_core(desired=EMBEDDING_STATE) as core, trio.open_nursery() as nursery:
        [agent] = await join(nursery, core, hello("one"))
        nursery.start_soon(answer_all, agent)
        documents = [EmbeddingDocument("same", str(n)) for n in range(5)]
        request = GenerateEmbeddingBatch(input_batch=documents, normalization_method="None")
        outbox: Mailbox[EmbeddingItem] = Mailbox(1000)
        await nursery.start(core.embeddings.run, request, outbox)
        assert answered(await collect(outbox)) == Counter({"same": 5})
        nursery.cancel_scope.cancel()


async def test_results_of_single_documents_and_failed_chunks_are_passed_on(
    autojump_clock: MockClock,
) -> None:
    state = desired_state(enable_embeddings=True, embedding_batch_size=2)
    async with open_core(desired=state) as core, trio.open_nursery() as nursery:
        [agent] = await join(nursery, core, hello("one"))
        outbox: Mailbox[EmbeddingItem] = Mailbox(1000)
        await nursery.start(core.embeddings.run, batch(4), outbox)
        request = await agent.next(Embed)
        assert request.normalization == "L2"
        await agent.embeddings(request, DocumentTooLong(request.documents[0].id, 9, 8))
        request = await agent.next(Embed)
        await agent.embeddings(request, is_done=False, error="no memory")
        assert await collect(outbox) == [
            EmbeddedDocument("one", "Mean", DocumentTooLong("d0", 9, 8)),
            EmbeddedDocument(
                "one", "Mean", DocumentFailed("d1", "the agent left the document out")
            ),
            EmbeddingChunkFailed("one", "no memory"),
        ]
        nursery.cancel_scope.cancel()


async def test_large_batch_neither_fills_the_buffer_nor_fails_because_of_it(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core(desired=EMBEDDING_STATE, max_waiting=1) as core,
        trio.open_nursery() as nursery,
    ):
        [agent] = await join(nursery, core, hello("one", slots=3))
        nursery.start_soon(answer_all, agent)
        outboxes: list[Mailbox[EmbeddingItem]] = [Mailbox(1000), Mailbox(1000)]
        for outbox in outboxes:
            await nursery.start(core.embeddings.run, batch(99), outbox)
        for outbox in outboxes:
            assert answered(await collect(outbox)) == Counter(f"d{n}" for n in range(99))
        nursery.cancel_scope.cancel()


async def test_empty_batch_starts_and_ends_without_a_slot(autojump_clock: MockClock) -> None:
    async with open_core(desired=EMBEDDING_STATE) as core, trio.open_nursery() as nursery:
        await join(nursery, core, hello("one"))
        outbox: Mailbox[EmbeddingItem] = Mailbox(1)
        await nursery.start(core.embeddings.run, batch(0), outbox)
        assert await collect(outbox) == []
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_served_is_refused_at_once(autojump_clock: MockClock) -> None:
    async with open_core(desired=desired_state()) as core:
        with pytest.raises(EmbeddingsNotEnabled):
            await core.embeddings.run(batch(1), Mailbox(1))
    async with open_core(desired=EMBEDDING_STATE) as core, trio.open_nursery() as nursery:
        with pytest.raises(NoAgents, match="connected"):
            await core.embeddings.run(batch(1), Mailbox(1))
        agent = start_agent(nursery, core.fleet, setup=lambda a: setattr(a, "applies", False))
        await agent.send(agent.hello)
        await wait_all_tasks_blocked()
        with pytest.raises(NoAgents, match="applied"):
            await core.embeddings.run(batch(1), Mailbox(1))
        record = core.fleet.agent("a1")
        assert record is not None
        await agent.report(applied_version=record.told_version)
        await wait_all_tasks_blocked()
        with pytest.raises(EmbeddingsNotEnabled, match="model"):
            await core.embeddings.run(batch(1), Mailbox(1))
        nursery.cancel_scope.cancel()


async def test_full_buffer_refuses_the_batch_before_it_starts(autojump_clock: MockClock) -> None:
    async with (
        open_core(desired=EMBEDDING_STATE, max_waiting=0) as core,
        trio.open_nursery() as nursery,
    ):
        await join(nursery, core, hello("one"))
        outbox: Mailbox[EmbeddingItem] = Mailbox(1000)
        await nursery.start(core.embeddings.run, batch(1), outbox)
        with pytest.raises(BufferFull):
            await core.embeddings.run(batch(1), Mailbox(1))
        nursery.cancel_scope.cancel()


async def test_cancelling_a_batch_frees_all_its_slots(autojump_clock: MockClock) -> None:
    async with open_core(desired=EMBEDDING_STATE) as core, trio.open_nursery() as nursery:
        await join(nursery, core, hello("one", slots=2), hello("two", slots=2))
        scope = trio.CancelScope()

        async def run(*, task_status: trio.TaskStatus[EmbeddingStart]) -> None:
            with scope:
                await core.embeddings.run(batch(20), Mailbox(1000), task_status=task_status)

        await nursery.start(run)
        await wait_all_tasks_blocked()
        assert core.fleet.slots_processing == 4
        scope.cancel()
        await wait_all_tasks_blocked()
        assert core.fleet.slots_processing == 0
        assert core.buffer.waiting.value == 0
        nursery.cancel_scope.cancel()


async def test_silent_agent_and_shutdown_end_the_batch_with_an_error(
    autojump_clock: MockClock,
) -> None:
    async with open_core(desired=EMBEDDING_STATE) as core, trio.open_nursery() as nursery:
        await join(nursery, core, hello("one"))
        silent: Mailbox[EmbeddingItem] = Mailbox(1000)
        await nursery.start(core.embeddings.run, batch(3), silent)
        [item] = await collect(silent)
        assert isinstance(item, GenerationError)
        assert item.code == 504
        stopped: Mailbox[EmbeddingItem] = Mailbox(1000)
        await nursery.start(core.embeddings.run, batch(3), stopped)
        core.embeddings.shut_down()
        [item] = await collect(stopped)
        assert isinstance(item, GenerationError)
        assert item.code == 503
        nursery.cancel_scope.cancel()
