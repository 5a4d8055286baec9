"""A beginning that several prompts share is prefilled once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from paddler.engine.model import Model
from paddler.engine.requests import CacheKind, EngineRequest, Started
from paddler.engine.slots import SlotEngine, SlotPhase
from tests.support.slot_runs import Outcome, opened, run, until_phase
from tests.support.tiny_models import tiny_hybrid, tiny_llama, tiny_mamba, tiny_sliding_window

N_SHARED = 900
LONG_ENOUGH_MS = 60_000


def beginning_with(shared: list[int], number: int) -> list[int]:
    return [*shared, *(270 + (number * 7 + offset * number) % 60 for offset in range(40))]


async def run_together(slots: SlotEngine, prompts: list[list[int]]) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}

    async def run_one(number: int, prompt: list[int]) -> None:
        outcomes[number] = await run(slots, EngineRequest(prompt_tokens=prompt, max_tokens=2))

    async with trio.open_nursery() as nursery:
        for number, prompt in enumerate(prompts):
            nursery.start_soon(run_one, number, prompt)
    return [outcomes[number] for number in range(len(prompts))]


async def start_of(slots: SlotEngine, request: EngineRequest) -> Started:
    """What a request is told when a slot takes it; then it is cancelled."""
    async with (
        slots.start(request) as generation,
        contextlib.aclosing(generation.batches()) as batches,
    ):
        async for batch in batches:
            for event in batch:
                assert isinstance(event, Started)
                return event
    raise AssertionError


async def test_it_is_copied_from_a_busy_slot(real_model_path: Path) -> None:
    async with opened(real_model_path, n_slots=2) as (model, slots):
        system = await model.tokenize("You are a helpful assistant who answers briefly. " * 8)
        endless = EngineRequest(
            prompt_tokens=[*system, *system[1:30]], max_tokens=500, ignore_end=True
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, slots, endless)
            await until_phase(slots, SlotPhase.DECODE)
            other = await run(slots, EngineRequest(prompt_tokens=[*system, 5, 6, 7], max_tokens=2))
            nursery.cancel_scope.cancel()
    assert other.started is not None
    assert other.started.cache_kind is CacheKind.SHARED
    assert other.cached == len(system)


@pytest.mark.parametrize(
    "make", [tiny_llama, tiny_sliding_window, tiny_mamba, tiny_hybrid], ids=lambda f: f.__name__
)
async def test_prompts_that_come_together_have_it_prefilled_once(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    shared = [270 + offset * offset % 60 for offset in range(N_SHARED)]
    prompts = [beginning_with(shared, number) for number in range(1, 5)]
    async with opened(
        make(tmp_path / "tiny.gguf"),
        n_slots=4,
        n_batch=64,
        k_cache_dtype="F32",
        v_cache_dtype="F32",
        prefix_wait_ms=LONG_ENOUGH_MS,
    ) as (_, slots):
        outcomes = await run_together(slots, prompts)
    assert sorted(outcome.cached >= N_SHARED for outcome in outcomes) == [False, True, True, True]
    assert all(outcome.ended is not None for outcome in outcomes)


async def long_prompt(model: Model) -> list[int]:
    text = "All about foxes, bears and wolves in the woods. " * 700
    return (await model.tokenize(text))[:6000]


async def test_who_may_not_wait_takes_what_is_there(real_model_path: Path) -> None:
    async with opened(real_model_path, context_tokens=8192, prefix_wait_ms=0) as (model, slots):
        shared = await long_prompt(model)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, slots, EngineRequest(prompt_tokens=shared, max_tokens=1))
            await until_phase(slots, SlotPhase.PREFILL)
            request = EngineRequest(prompt_tokens=[*shared[:5900], 5, 6, 7], max_tokens=1)
            started = await start_of(slots, request)
            nursery.cancel_scope.cancel()
    assert started.n_cached_tokens < 5900


async def test_who_waits_goes_on_when_the_prompt_ahead_is_cancelled(real_model_path: Path) -> None:
    async with opened(real_model_path, context_tokens=8192, prefix_wait_ms=LONG_ENOUGH_MS) as (
        model,
        slots,
    ):
        shared = await long_prompt(model)
        ahead = trio.CancelScope()
        outcomes: list[int] = []

        async def run_ahead() -> None:
            with ahead:
                await run(slots, EngineRequest(prompt_tokens=shared, max_tokens=1))

        async def run_behind() -> None:
            request = EngineRequest(prompt_tokens=[*shared[:5000], 5, 6, 7], max_tokens=1)
            started = await start_of(slots, request)
            outcomes.append(started.n_cached_tokens)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_ahead)
            await until_phase(slots, SlotPhase.PREFILL)
            nursery.start_soon(run_behind)
            while slots.stats().n_queued == 0:  # noqa: ASYNC110 - nothing announces it
                await trio.sleep(0.002)
            ahead.cancel()
    # What the cancelled one had by then is still worth something, or nothing.
    assert outcomes[0] < 5000


async def test_who_waits_keeps_a_slot(real_model_path: Path) -> None:
    async with opened(real_model_path, context_tokens=8192, prefix_wait_ms=LONG_ENOUGH_MS) as (
        model,
        slots,
    ):
        shared = await long_prompt(model)
        order: list[str] = []

        async def run_later(name: str, prompt: list[int]) -> None:
            await start_of(slots, EngineRequest(prompt_tokens=prompt, max_tokens=1))
            order.append(name)

        async def until_queued(n_requests: int) -> None:
            while slots.stats().n_queued < n_requests:  # noqa: ASYNC110 - nothing announces it
                await trio.sleep(0.002)

        with trio.CancelScope() as ahead:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, slots, EngineRequest(prompt_tokens=shared, max_tokens=1))
                await until_phase(slots, SlotPhase.PREFILL)
                async with trio.open_nursery() as later:
                    later.start_soon(run_later, "behind", [*shared[:500], 5, 6, 7])
                    await until_queued(1)
                    later.start_soon(run_later, "unrelated", [7, 8, 9])
                ahead.cancel()
    assert order == ["behind", "unrelated"]
