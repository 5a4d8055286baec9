"""Prompts with images: placed, decoded, recognised; neighbours do not notice."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import trio

from paddler.engine import errors
from paddler.engine.engine import Engine
from paddler.engine.images import Image
from paddler.engine.requests import (
    Ended,
    EngineEvent,
    EngineRequest,
    EngineSampling,
    Started,
    Tokens,
)
from paddler.engine.settings import EngineSettings
from tests.support import tiny_models
from tests.support.tiny_projector import tiny_projector

TIMEOUT_S = 120.0
MARKER = "<__media__>"
IMAGE_TOKENS = 16
LONG = "a text that is long enough to be worth keeping in the cache of a slot; "
GREEDY = EngineSampling(temperature=0.0, penalty_last_n=0)


def picture(seed: int, *, side: int = 24) -> Image:
    pixels = bytes((seed * 37 + index * (seed + 3)) % 256 for index in range(side * side * 3))
    return Image(pixels, side, side)


@contextlib.asynccontextmanager
async def opened(
    tmp_path: Path, *, n_slots: int = 2, n_batch: int = 512, patches_per_side: int = 8
) -> AsyncIterator[Engine]:
    model = tiny_models.tiny_llama(tmp_path / "tiny.gguf")
    projector = tiny_projector(
        tmp_path / "projector.gguf",
        n_embd_text=tiny_models.N_EMBD,
        patches_per_side=patches_per_side,
    )
    settings = EngineSettings(
        n_slots=n_slots,
        context_tokens=1024,
        n_batch=n_batch,
        n_threads=1,
        k_cache_dtype="F32",
        v_cache_dtype="F32",
    )
    with trio.fail_after(TIMEOUT_S):
        async with Engine.open(model, settings, projector_path=projector) as engine:
            yield engine


async def ask(
    engine: Engine, text: str, images: Sequence[Image], *, max_tokens: int = 8
) -> list[EngineEvent]:
    assert engine.projector is not None
    with await engine.projector.make_prompt(text, images) as prompt:
        await prompt.encode()
        request = EngineRequest(
            prompt_tokens=[],
            media=prompt,
            max_tokens=max_tokens,
            sampling=GREEDY,
            ignore_end=True,
            n_logprobs=4,
        )
        return [event async for event in engine.generate(request)]


async def ask_text(engine: Engine, text: str, *, max_tokens: int = 8) -> list[EngineEvent]:
    request = EngineRequest(
        prompt_tokens=await engine.tokenize(text),
        max_tokens=max_tokens,
        sampling=GREEDY,
        ignore_end=True,
        n_logprobs=4,
    )
    return [event async for event in engine.generate(request)]


def started(events: Sequence[EngineEvent]) -> Started:
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Ended)
    return events[0]


def logprobs(events: Sequence[EngineEvent]) -> list[float]:
    return [
        entry.chosen.logprob
        for event in events
        if isinstance(event, Tokens)
        for entry in event.logprobs
    ]


async def test_images_are_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        assert engine.projector is not None
        one = await engine.projector.make_prompt(f"a{MARKER}b", [picture(1)])
        two = await engine.projector.make_prompt(f"a{MARKER}b{MARKER}", [picture(1), picture(2)])
        with one, two:
            assert one.n_image_tokens == one.largest_image_tokens == IMAGE_TOKENS
            assert two.n_image_tokens == 2 * IMAGE_TOKENS
            assert two.n_tokens > one.n_tokens > IMAGE_TOKENS


async def test_what_an_image_shows_changes_the_answer(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        text = f"a{MARKER}b"
        answers = [logprobs(await ask(engine, text, [picture(seed)])) for seed in (1, 2, 1)]
        assert answers[0] == pytest.approx(answers[2], abs=0.05)
        assert answers[0] != pytest.approx(answers[1], abs=0.05)


async def test_a_cached_prefix_is_recognised_by_the_images_content(tmp_path: Path) -> None:
    async with opened(tmp_path, n_slots=1) as engine:
        text = f"{LONG}{MARKER} what is it?"
        first = started(await ask(engine, text, [picture(1)]))
        assert first.n_cached_tokens == 0
        again = started(await ask(engine, f"{text} and more", [picture(1)]))
        assert again.n_cached_tokens >= len(LONG) + IMAGE_TOKENS


async def test_another_image_is_not_taken_for_the_cached_one(tmp_path: Path) -> None:
    async with opened(tmp_path, n_slots=1) as engine:
        text = f"{LONG}{MARKER} what is it?"
        fresh = logprobs(await ask(engine, text, [picture(2)]))
        await ask(engine, "something else entirely", [])
        await ask(engine, text, [picture(1)])
        events = await ask(engine, text, [picture(2)])
        # Pieces of text are tokenized one by one: each may begin with a space.
        n_before_the_image = len(await engine.tokenize(f"{LONG}<start_of_image>")) + 1
        assert 0 < started(events).n_cached_tokens <= n_before_the_image
        assert logprobs(events) == pytest.approx(fresh, abs=0.08)


async def test_texts_on_neighbouring_slots_do_not_notice(tmp_path: Path) -> None:
    async with opened(tmp_path, n_slots=3) as engine:
        text = f"{LONG}{MARKER}"
        alone = logprobs(await ask_text(engine, "tell me", max_tokens=40))
        seen = logprobs(await ask(engine, text, [picture(3)], max_tokens=40))
        together: dict[str, list[float]] = {}

        async def ask_both_kinds(kind: str) -> None:
            if kind == "text":
                events = await ask_text(engine, "tell me", max_tokens=40)
            else:
                events = await ask(engine, text, [picture(3)], max_tokens=40)
            together[kind] = logprobs(events)

        async with trio.open_nursery() as nursery:
            for kind in ("text", "image"):
                nursery.start_soon(ask_both_kinds, kind)
        assert together["text"] == pytest.approx(alone, abs=0.08)
        assert together["image"] == pytest.approx(seen, abs=0.08)


async def test_markers_and_images_have_to_match(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        assert engine.projector is not None
        for text, images in ((f"{MARKER}{MARKER}", [picture(1)]), ("none", [picture(1)])):
            with pytest.raises((errors.InvalidArgument, errors.BadImage)):
                await engine.projector.make_prompt(text, images)


async def test_images_have_to_be_encoded_before_a_request(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        assert engine.projector is not None
        with await engine.projector.make_prompt(MARKER, [picture(1)]) as prompt:
            request = EngineRequest(prompt_tokens=[], media=prompt, max_tokens=1, sampling=GREEDY)
            with pytest.raises(errors.InvalidArgument, match="not encoded"):
                async with engine.start(request):
                    pass


async def test_an_image_that_was_encoded_lately_is_not_encoded_again(tmp_path: Path) -> None:
    async with opened(tmp_path, n_slots=1) as engine:
        assert engine.projector is not None
        text = f"{LONG}{MARKER} what is it?"
        fresh = logprobs(await ask(engine, text, [picture(1)]))
        assert engine.projector.n_encoded == 1
        await ask_text(engine, "something else entirely")
        assert logprobs(await ask(engine, text, [picture(1)])) == pytest.approx(fresh, abs=0.08)
        assert engine.projector.n_encoded == 1
        await ask(engine, f"{text}{MARKER}", [picture(1), picture(2)])
        assert engine.projector.n_encoded == 2


async def test_sizes_are_known_before_anything_is_encoded(tmp_path: Path) -> None:
    async with opened(tmp_path, n_batch=32, patches_per_side=16) as engine:
        assert engine.projector is not None
        with await engine.projector.make_prompt(MARKER, [picture(1)]) as prompt:
            assert prompt.largest_image_tokens > 32


async def test_an_image_larger_than_a_batch_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, n_batch=32, patches_per_side=16) as engine:
        with pytest.raises(errors.BadImage):
            await ask(engine, MARKER, [picture(1)])


async def test_a_projector_that_does_not_fit_the_model_is_refused(tmp_path: Path) -> None:
    model = tiny_models.tiny_llama(tmp_path / "tiny.gguf")
    other = tiny_projector(tmp_path / "other.gguf", n_embd_text=tiny_models.N_EMBD * 2)
    settings = EngineSettings(n_slots=1, context_tokens=128, n_threads=1)
    with trio.fail_after(TIMEOUT_S):
        for path in (other, model, tmp_path / "missing.gguf"):
            with pytest.raises(errors.ProjectorFailed):
                async with Engine.open(model, settings, projector_path=path):
                    pass
