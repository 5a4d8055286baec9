"""A whole agent with the native engine and small models, over real link frames.

Real clock, as the engine computes in threads; every test is bounded.
"""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from paddler.agent.backend.native import NativeBackend
from paddler.agent.model_sources.huggingface import HuggingFaceSource
from paddler.agent.model_sources.sources import ModelSources
from paddler.agent.model_sources.url import DownloadLimits, UrlSource
from paddler.agent.run import run_agent
from paddler.agent.settings import AgentSettings
from paddler.messages.agents import ApplicationStatus, ModelIssue
from paddler.messages.conversation import Message
from paddler.messages.embeddings import DocumentEmbedding, DocumentTooLong, EmbeddingDocument
from paddler.messages.generation import (
    ConversationPrompt,
    GenerationFailure,
    GenerationOrder,
    RawPrompt,
)
from paddler.messages.grammar import GbnfGrammar, JsonSchemaGrammar
from paddler.messages.link import Embed, EmbeddingEvents, HandedOver
from paddler.messages.sampling import Sampling
from paddler.messages.state import ApplicableState, ModelReference
from tests.support.agent_harness import StandIn, StandInLink, state_of
from tests.support.tiny_models import tiny_bert, tiny_llama

DEADLINE_S = 120
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GREEDY = Sampling(temperature=0.0)


def served(path: Path, **changes: Any) -> ApplicableState:
    sizes = {"context_size": 512, "n_batch": 512, "k_cache_dtype": "F32", "v_cache_dtype": "F32"}
    state = state_of(**{**sizes, **changes})
    return msgspec.structs.replace(state, model=ModelReference(LocalToAgent=str(path)))


def raw(text: str, max_tokens: int = 8, **changes: Any) -> GenerationOrder:
    return GenerationOrder(
        prompt=RawPrompt(text), max_tokens=max_tokens, sampling=GREEDY, ignore_eos=True, **changes
    )


@contextlib.asynccontextmanager
async def linked(tmp_path: Path) -> AsyncGenerator[tuple[StandInLink, trio.Event, trio.Event]]:
    """An agent's link, the event that stops it, and the one it sets when it has stopped."""
    limits = DownloadLimits(max_bytes=1, timeout_s=1, lock_wait_s=1)
    stop, stopped = trio.Event(), trio.Event()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            balancer = StandIn(nursery)

            async def run(*, task_status: trio.TaskStatus[None]) -> None:
                await run_agent(
                    AgentSettings(
                        management_host="balancer", management_port=1, slots=2, n_threads=1
                    ),
                    backend=NativeBackend(),
                    fetcher=ModelSources(
                        url=UrlSource(tmp_path, limits), huggingface=HuggingFaceSource()
                    ),
                    dial=balancer.dial,
                    random_source=random.Random(1),
                    stop=stop,
                    task_status=task_status,
                )
                stopped.set()

            await nursery.start(run)
            yield await balancer.welcome(), stop, stopped
            nursery.cancel_scope.cancel()


async def test_requests_of_every_kind_are_served(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    async with linked(tmp_path) as (link, _, _):
        status = await link.serve(
            served(path, template=TEMPLATE, enable_embeddings=True, n_batch=256)
        )
        assert status.issues == []
        assert status.model is not None
        assert status.model.can_generate
        assert status.model.can_embed
        await link.generate(1, raw("abc"))
        prompt = ConversationPrompt([Message("user", "hello")])
        await link.generate(2, GenerationOrder(prompt=prompt, max_tokens=4, sampling=GREEDY))
        await link.generate(3, raw("abc", 4, grammar=GbnfGrammar('root ::= "yes!"', "root")))
        schema = JsonSchemaGrammar('{"enum": ["red"]}')
        await link.generate(
            4, GenerationOrder(prompt=prompt, max_tokens=20, sampling=GREEDY, grammar=schema)
        )
        await link.send(
            Embed(
                request_id=5,
                documents=[EmbeddingDocument("a", "text"), EmbeddingDocument("b", "x" * 400)],
                normalization="L2",
            )
        )
        done = await link.done(1)
        assert done.usage.content_tokens == 8
        assert done.usage.prompt_tokens >= 3
        await link.done(2)
        await link.ending(3)
        assert link.text(3) == "yes!"
        await link.done(4)
        assert link.text(4).strip() == '"red"'
        await link.until(lambda: any(frame.done for frame in link.of(EmbeddingEvents)))
        results = [result for frame in link.of(EmbeddingEvents) for result in frame.results]
        too_long = [result for result in results if isinstance(result, DocumentTooLong)]
        assert [result.document_id for result in too_long] == ["b"]
        (embedded,) = [result for result in results if isinstance(result, DocumentEmbedding)]
        values = struct.unpack(f"<{len(embedded.vector) // 4}f", embedded.vector)
        assert sum(value * value for value in values) == pytest.approx(1.0, abs=1e-4)


async def test_model_for_embeddings_has_no_issue_and_does_not_generate(tmp_path: Path) -> None:
    path = tiny_bert(tmp_path / "bert.gguf")
    async with linked(tmp_path) as (link, _, _):
        state = served(path, enable_embeddings=True, pooling_type="Mean")
        status = await link.serve(state)
        assert status.issues == []
        assert status.model is not None
        assert not status.model.can_generate
        assert status.model.can_embed
        assert status.model.pooling_type == "Mean"
        await link.generate(1, raw("abc"))
        failed = await link.failed(1)
        assert failed.failure is GenerationFailure.TOKEN_GENERATION_DISABLED
        await link.send(Embed(request_id=2, documents=[EmbeddingDocument("a", "the")]))
        await link.until(lambda: any(frame.done for frame in link.of(EmbeddingEvents)))
        results = [result for frame in link.of(EmbeddingEvents) for result in frame.results]
        assert [type(result) for result in results] == [DocumentEmbedding]


async def test_broken_file_is_an_issue_and_the_next_state_is_served(tmp_path: Path) -> None:
    whole = tiny_llama(tmp_path / "m.gguf")
    truncated = tmp_path / "truncated.gguf"
    truncated.write_bytes(whole.read_bytes()[:20_000])  # set-up
    foreign = tmp_path / "foreign.gguf"
    foreign.write_text("<html>")  # set-up
    async with linked(tmp_path) as (link, _, _):
        for version, path in enumerate((truncated, foreign), 1):
            await link.apply(served(path), version)
            status = await link.until_status(ApplicationStatus.ATTEMPTED_AND_NOT_APPLIABLE, version)
            assert status.issues == [ModelIssue("ModelCannotBeLoaded", str(path))]
            assert status.model is None
        status = await link.serve(served(whole), 3)
        assert status.issues == [ModelIssue("UnableToFindChatTemplate", str(whole))]


async def test_swap_under_load_drains_and_stop_hands_over(tmp_path: Path) -> None:
    one, two = tiny_llama(tmp_path / "1.gguf"), tiny_llama(tmp_path / "2.gguf", seed=9)
    async with linked(tmp_path) as (link, stop, stopped):
        await link.serve(served(one))
        for request_id in range(1, 5):
            await link.generate(request_id, raw("abc", 40))
        await link.until_events(1, 3)
        await link.cancel(2)
        await link.serve(served(two), 2)
        for request_id in (1, 3, 4):
            assert (await link.done(request_id)).usage.content_tokens == 40
        assert link.of(HandedOver) == []
        await link.generate(5, raw("abc", 400))
        await link.until_events(5, 3)
        stop.set()
        with trio.fail_after(5):
            await stopped.wait()
        assert [frame.request_ids for frame in link.of(HandedOver)] == [[5]]
