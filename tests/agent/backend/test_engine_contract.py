"""What the agent relies on, held against the scripted and the native engine alike.

Real clock, as the native engine computes in a thread; every test is bounded.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trio

from paddler.agent.backend.native import NativeBackend
from paddler.agent.backend.protocol import Engine, EngineBackend, EngineOptions
from paddler.engine import errors
from paddler.engine.requests import (
    Ended,
    EngineEvent,
    EngineRequest,
    EngineSampling,
    FinishReason,
    Started,
    Tokens,
)
from paddler.messages.conversation import Message
from paddler.messages.generation import ConversationPrompt
from tests.support.scripted_engine import ModelScript, ScriptedBackend

DEADLINE_S = 60
GREEDY = EngineSampling(temperature=0.0, penalty_last_n=0)
COUNTING = "one two three four five six seven eight"
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"

Opener: TypeAlias = Callable[..., AbstractAsyncContextManager[Engine]]


@pytest.fixture(params=["scripted", "native"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens an engine: `async with opened(n_slots=…) as engine`."""
    backend: EngineBackend
    if request.param == "scripted":
        backend = ScriptedBackend(
            {"m.gguf": ModelScript(reply="abcdefgh" * 25, token_interval_s=0.001)}
        )
        path = Path("m.gguf")
    else:
        backend = NativeBackend()
        path = request.getfixturevalue("real_model_path")

    @contextlib.asynccontextmanager
    async def open_engine(
        *, template: str | None = None, **changes: Any
    ) -> AsyncGenerator[Engine, None]:
        options: dict[str, Any] = {
            "n_slots": 2,
            "context_tokens": 512,
            "n_batch": 512,
            "k_cache_dtype": "F16",
            "v_cache_dtype": "F16",
            "n_gpu_layers": 0,
            "n_threads": 1,
            "prompt_cache_bytes": 0,
            "prefill_budget_ms": 75,
            "enable_embeddings": False,
            "embedding_batch_tokens": 64,
            "pooling_type": "Mean",
        }
        progress: list[float] = []
        with trio.fail_after(DEADLINE_S):
            async with backend.open(
                path,
                EngineOptions(**options | changes),
                chat_template_override=template,
                on_progress=progress.append,
            ) as engine:
                assert all(0.0 <= fraction <= 1.0 for fraction in progress)
                yield engine

    return open_engine


async def events_of(engine: Engine, request: EngineRequest) -> list[EngineEvent]:
    events: list[EngineEvent] = []
    async with (
        engine.start(request) as generation,
        aclosing(generation.batches()) as batches,
    ):
        async for batch in batches:
            assert batch
            events += batch
    return events


def text_of(events: list[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Tokens))


def ended(events: list[EngineEvent]) -> Ended:
    last = events[-1]
    assert isinstance(last, Ended)
    return last


async def counting(engine: Engine, **changes: Any) -> EngineRequest:
    values: dict[str, Any] = {
        "prompt_tokens": await engine.tokenize(COUNTING),
        "max_tokens": 8,
        "sampling": GREEDY,
        "ignore_end": True,
    }
    return EngineRequest(**values | changes)


async def test_events_come_in_order_and_add_up(opened: Opener) -> None:
    async with opened() as engine:
        request = await counting(engine)
        events = await events_of(engine, request)
        started, *tokens, last = events
        assert isinstance(started, Started)
        assert started.n_prompt_tokens == len(request.prompt_tokens)
        assert 0 <= started.n_cached_tokens <= started.n_prompt_tokens
        assert all(isinstance(event, Tokens) for event in tokens)
        assert isinstance(last, Ended)
        assert last.reason is FinishReason.MAX_TOKENS
        assert sum(last.n_generated.values()) == 8
        n_ids = sum(len(event.token_ids) for event in tokens if isinstance(event, Tokens))
        assert n_ids == 8


async def test_facts_are_those_of_the_options(opened: Opener) -> None:
    async with opened() as engine:
        assert engine.context_tokens == 512
        assert engine.facts.can_generate
        assert engine.facts.n_vocab > 0
        assert engine.embedder is None
        stats = engine.stats()
        assert stats is not None
        assert [slot.phase.value for slot in stats.slots] == ["free", "free"]


async def test_stop_string_ends_and_is_no_part_of_the_text(opened: Opener) -> None:
    async with opened() as engine:
        whole = text_of(await events_of(engine, await counting(engine)))
        stop = whole[3:6]
        events = await events_of(engine, await counting(engine, stops=[stop]))
        assert ended(events).reason is FinishReason.STOP_STRING
        assert text_of(events) == whole[: whole.index(stop)]


async def test_replay_continues_after_what_was_sent(opened: Opener) -> None:
    async with opened() as engine:
        events = await events_of(engine, await counting(engine))
        tokens = [event for event in events if isinstance(event, Tokens)]
        ids = [token_id for event in tokens for token_id in event.token_ids]
        sent = "".join(event.text for event in tokens[:4])
        resumed = await counting(
            engine, replay_tokens=ids[:4], replay_sent_bytes=len(sent.encode())
        )
        continued = await events_of(engine, resumed)
        assert sent + text_of(continued) == text_of(events)
        assert sum(ended(continued).n_generated.values()) == 8


async def test_leaving_early_frees_the_slot(opened: Opener) -> None:
    async with opened(n_slots=1) as engine:
        request = await counting(engine, max_tokens=200)
        async with (
            engine.start(request) as generation,
            aclosing(generation.batches()) as batches,
        ):
            async for batch in batches:
                if any(isinstance(event, Tokens) for event in batch):
                    break
        stats = engine.stats()
        assert stats is not None
        assert stats.slots[0].phase.value == "free"
        again = ended(await events_of(engine, await counting(engine)))
        assert again.reason is FinishReason.MAX_TOKENS


async def test_cancelled_generation_frees_the_slot(opened: Opener) -> None:
    async with opened(n_slots=1) as engine:
        request = await counting(engine, max_tokens=200)
        async with trio.open_nursery() as nursery:

            async def generate() -> None:
                async with (
                    engine.start(request) as generation,
                    aclosing(generation.batches()) as batches,
                ):
                    async for _ in batches:
                        nursery.cancel_scope.cancel()

            nursery.start_soon(generate)
        again = ended(await events_of(engine, await counting(engine)))
        assert again.reason is FinishReason.MAX_TOKENS


async def test_more_generations_than_slots_all_end(opened: Opener) -> None:
    async with opened() as engine:
        request = await counting(engine)
        outcomes: list[list[EngineEvent]] = []

        async def generate() -> None:
            outcomes.append(await events_of(engine, request))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(generate)
        assert [ended(events).reason for events in outcomes] == [FinishReason.MAX_TOKENS] * 5


async def test_prompt_that_does_not_fit_is_refused(opened: Opener) -> None:
    async with opened() as engine:
        tokens = (await engine.tokenize(COUNTING)) * 100
        with pytest.raises(errors.PromptTooLong):
            await events_of(engine, await counting(engine, prompt_tokens=tokens))


async def test_grammar_is_checked(opened: Opener) -> None:
    async with opened() as engine:
        engine.check_grammar('root ::= "a"', "root")
        with pytest.raises(errors.BadGrammar):
            engine.check_grammar('other ::= "a"', "root")


async def test_template_is_optional_and_may_be_broken(opened: Opener) -> None:
    async with opened(template=TEMPLATE) as engine:
        assert engine.chat is not None
        rendered = engine.chat.render(ConversationPrompt([Message("user", "hi")]))
        assert "<user>hi" in rendered.text


async def test_documents_are_embedded(opened: Opener) -> None:
    async with opened(enable_embeddings=True) as engine:
        embedder = engine.embedder
        assert embedder is not None
        documents = [await engine.tokenize(text) for text in ("a b", "c d e")]
        vectors = await embedder.embed(documents)
        assert len(vectors) == 2
        for vector in vectors:
            assert len(struct.unpack(f"<{embedder.dimensions}f", vector)) == embedder.dimensions


async def test_missing_file_is_named(opened: Opener) -> None:
    for backend in (ScriptedBackend({"m.gguf": ModelScript()}), NativeBackend()):
        options = EngineOptions(
            n_slots=1,
            context_tokens=64,
            n_batch=64,
            k_cache_dtype="F16",
            v_cache_dtype="F16",
            n_gpu_layers=0,
            n_threads=0,
            prompt_cache_bytes=0,
            prefill_budget_ms=75,
            enable_embeddings=False,
            embedding_batch_tokens=64,
            pooling_type="Mean",
        )
        with pytest.raises(errors.ModelFileNotFound):
            async with backend.open(
                Path("/no/such.gguf"),
                options,
                chat_template_override=None,
                on_progress=lambda fraction: None,
            ):
                pass
