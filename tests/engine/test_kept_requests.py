"""The engine says whose state it holds, and stops saying so when it is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from paddler.engine.model import open_model
from paddler.engine.requests import EngineRequest
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import SlotEngine, open_slots
from tests.support.tiny_models import tiny_llama

TIMEOUT_S = 60.0


async def run(slots: SlotEngine, prompt: Sequence[int]) -> int:
    """Generate a little; returns the request's id."""
    async with (
        slots.start(EngineRequest(prompt_tokens=prompt, max_tokens=3)) as generation,
        contextlib.aclosing(generation.batches()) as batches,
    ):
        async for _ in batches:
            pass
    return generation.request_id


def settings_of(n_slots: int, prompt_cache_bytes: int = 0) -> EngineSettings:
    return EngineSettings(
        n_slots=n_slots,
        context_tokens=640,
        k_cache_dtype="F32",
        v_cache_dtype="F32",
        prompt_cache_bytes=prompt_cache_bytes,
    )


def prompt_of(first: int) -> list[int]:
    return [first + offset % 20 for offset in range(100)]


@pytest.mark.parametrize("prompt_cache_bytes", [0, 50_000_000])
async def test_state_is_kept_until_its_place_is_needed(
    tmp_path: Path, prompt_cache_bytes: int
) -> None:
    path = tiny_llama(tmp_path / "tiny.gguf")
    settings = settings_of(2, prompt_cache_bytes)
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model, open_slots(model, settings) as slots:
            first = await run(slots, prompt_of(270))
            second = await run(slots, prompt_of(300))
            assert list(slots.kept_requests) == [first, second]
            third = await run(slots, prompt_of(320))
            await trio.testing.wait_all_tasks_blocked(0.05)
            kept = [first, second, third] if prompt_cache_bytes else [second, third]
            assert list(slots.kept_requests) == kept


async def test_state_that_grew_into_the_next_turn_is_named_once(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "tiny.gguf")
    settings = settings_of(1)
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model, open_slots(model, settings) as slots:
            await run(slots, prompt_of(270))
            second = await run(slots, [*prompt_of(270), *prompt_of(300)])
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert list(slots.kept_requests) == [second]


async def test_state_that_returned_from_host_memory_is_named_once(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "tiny.gguf")
    with trio.fail_after(TIMEOUT_S):
        async with (
            open_model(path) as model,
            open_slots(model, settings_of(1, 50_000_000)) as slots,
        ):
            await run(slots, prompt_of(270))
            second = await run(slots, prompt_of(300))
            third = await run(slots, [*prompt_of(270), *prompt_of(320)])
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert list(slots.kept_requests) == [second, third]


async def test_prompt_that_was_prefilled_in_part_is_used_but_not_announced(
    real_model_path: Path,
) -> None:
    settings = EngineSettings(n_slots=1, context_tokens=4096, n_threads=1)
    prompt = [1000 + offset % 500 for offset in range(3000)]
    with trio.fail_after(TIMEOUT_S):
        async with open_model(real_model_path) as model, open_slots(model, settings) as slots:
            async with slots.start(EngineRequest(prompt_tokens=prompt, max_tokens=3)):
                # The native thread publishes its progress; nothing announces it.
                while slots.stats().slots[0].cached_tokens < 100:  # noqa: ASYNC110
                    await trio.sleep(0.002)
            n_held = slots.stats().slots[0].cached_tokens
            assert 100 <= n_held < len(prompt)
            assert list(slots.kept_requests) == []
            await run(slots, prompt[:n_held])
            assert slots.stats().n_cached_tokens == n_held - 1
