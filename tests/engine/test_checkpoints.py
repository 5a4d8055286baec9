"""Where models that cannot be rolled back find what prompts have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import trio

from paddler.engine.model import open_model
from paddler.engine.requests import CacheKind, EngineRequest, Started
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import SlotEngine, open_slots
from tests.support.tiny_models import tiny_hybrid, tiny_mamba

TIMEOUT_S = 60.0
SYSTEM = [270 + offset % 60 for offset in range(200)]


async def begin(
    slots: SlotEngine, prompt: Sequence[int], checkpoints: Sequence[int] = ()
) -> Started:
    """Generate a little; returns what was reused for it."""
    request = EngineRequest(prompt_tokens=prompt, max_tokens=2, checkpoints=checkpoints)
    started: Started | None = None
    async with (
        slots.start(request) as generation,
        contextlib.aclosing(generation.batches()) as batches,
    ):
        async for batch in batches:
            started = started or next(event for event in batch if isinstance(event, Started))
    assert started is not None
    return started


def settings_of(*, n_batch: int = 2048) -> EngineSettings:
    return EngineSettings(
        n_slots=2, context_tokens=640, n_batch=n_batch, k_cache_dtype="F32", v_cache_dtype="F32"
    )


@pytest.mark.parametrize("n_batch", [2048, 100, 64])
@pytest.mark.parametrize("make", [tiny_mamba, tiny_hybrid], ids=lambda f: f.__name__)
async def test_shared_beginning_is_found_however_the_prompt_was_cut_into_batches(
    tmp_path: Path, make: Callable[[Path], Path], n_batch: int
) -> None:
    path = make(tmp_path / "tiny.gguf")
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model, open_slots(model, settings_of(n_batch=n_batch)) as it:
            # A short question: its beginning is close to the prompt's end.
            await begin(it, [*SYSTEM, 300, 301, 302], [len(SYSTEM)])
            other = await begin(it, [*SYSTEM, 290, 291, 292], [len(SYSTEM)])
    assert (other.n_cached_tokens, other.cache_kind) == (len(SYSTEM), CacheKind.SLOT)


@pytest.mark.parametrize("make", [tiny_mamba, tiny_hybrid], ids=lambda f: f.__name__)
async def test_place_where_prompts_part_is_computed_twice_at_most(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path / "tiny.gguf")
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model, open_slots(model, settings_of()) as slots:
            cached = [
                (await begin(slots, [*SYSTEM, *([290 + number] * 100)])).n_cached_tokens
                for number in range(4)
            ]
    assert cached == [0, 0, len(SYSTEM), len(SYSTEM)]
