"""Tells the balancer how busy the slots are and what they hold.

A few times a second, while that changes.
"""

from __future__ import annotations

from typing import NoReturn

import trio

from paddler.agent.backend.protocol import EngineStats
from paddler.agent.frame_router import FrameRouter
from paddler.agent.link.outbox import Outbox
from paddler.agent.serving_state.reconciler import Reconciler
from paddler.agent.serving_state.status import StatusBoard
from paddler.concurrency.latest import Latest
from paddler.engine.requests import CacheKind
from paddler.messages.link import CacheCounts, CacheReport, LoadReport, SlotReport

__all__ = ["report_load"]


async def report_load(
    router: FrameRouter,
    reconciler: Reconciler,
    board: StatusBoard,
    activity: Latest[int],
    *,
    interval_s: float,
) -> NoReturn:
    """Report for ever; sleeps while no request runs.

    Args:
        activity: Set when requests start or end, the engine changes, or a link opens.
        interval_s: Between two reports at least.
    """
    reported: tuple[Outbox, LoadReport, CacheReport] | None = None
    sampled_s, n_generated = trio.current_time(), 0
    while True:
        version = activity.version
        generation, outbox = reconciler.generation, router.outbox
        stats = None if generation is None else generation.engine.stats()
        if generation is not None and stats is not None and outbox is not None:
            now_s = trio.current_time()
            # A new engine counts from zero again.
            n_new = max(0, stats.n_generated_tokens - n_generated)
            rate = n_new / (now_s - sampled_s) if now_s > sampled_s else 0.0
            sampled_s, n_generated = now_s, stats.n_generated_tokens
            report = _report(stats, rate)
            held = CacheReport(generation.held_prompts.tips())
            if reported is not None and reported[0] is not outbox:
                reported = None
            if reported is None or reported[1] != report:
                outbox.post_frame(report)
            if reported is None or reported[2] != held:
                outbox.post_frame(held)
            reported = outbox, report, held
            board.set_prefill_speed(stats.prefill_tokens_per_s)
        await trio.sleep(interval_s)
        if generation is None or outbox is None or generation.slots.n_running == 0:
            await activity.wait_past(version)


def _report(stats: EngineStats, generated_tokens_per_s: float) -> LoadReport:
    return LoadReport(
        slots=[_slot_report(slot.phase.value, slot.cached_tokens) for slot in stats.slots],
        generated_tokens_per_s=round(generated_tokens_per_s, 1),
        prompt_cache_bytes=stats.prompt_cache_bytes,
        cache=CacheCounts(
            n_missed=stats.hits[CacheKind.NONE],
            n_from_slot=stats.hits[CacheKind.SLOT],
            n_from_host=stats.hits[CacheKind.RAM],
            n_shared=stats.hits[CacheKind.SHARED],
            n_evictions=stats.evictions,
        ),
    )


def _slot_report(phase: str, cached_tokens: int) -> SlotReport:
    match phase:
        case "prefill" | "decode":
            return SlotReport(phase, cached_tokens)
        case _:
            return SlotReport("free", cached_tokens)
