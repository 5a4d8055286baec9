"""The ring behind the dashboard's charts."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.metrics.history import TICK_S, TICKS_PER_SAMPLE, History, Readings
from paddler.balancer.requests.observations import BufferOutcome, RequestOutcome
from paddler.messages.dashboard import Sample
from paddler.messages.generation import Usage


class Gauges:
    processing = 0
    buffered = 0
    tokens_per_s = 0.0


def make_history(gauges: Gauges, n_samples: int = 450) -> History:
    readings = Readings(
        processing=lambda: gauges.processing,
        buffered=lambda: gauges.buffered,
        tokens_per_s=lambda: gauges.tokens_per_s,
    )
    return History(readings, instance="run", now_ms=lambda: 1000, n_samples=n_samples)


def next_sample(history: History) -> Sample:
    for _ in range(TICKS_PER_SAMPLE):
        history.tick()
    assert history.newest is not None
    return history.newest


def test_a_sample_has_means_of_load_and_the_most_that_waited() -> None:
    gauges = Gauges()
    history = make_history(gauges)
    gauges.processing, gauges.buffered, gauges.tokens_per_s = 4, 9, 100.0
    history.tick()
    gauges.processing, gauges.buffered, gauges.tokens_per_s = 0, 0, 0.0
    for _ in range(TICKS_PER_SAMPLE - 1):
        history.tick()
    sample = history.newest
    assert sample is not None
    assert sample.processing == 4 / TICKS_PER_SAMPLE
    assert sample.buffered == 9
    assert sample.tokens_per_s == 100 / TICKS_PER_SAMPLE


def test_requests_of_an_interval_become_one_sample_and_the_next_starts_at_nothing() -> None:
    history = make_history(Gauges())
    for ttft_s in (0.1, 0.2, 4.0):
        history.first_token(ttft_s)
    usage = Usage(prompt_tokens=100, cached_prompt_tokens=25)
    history.request_ended(RequestKind.GENERATION, "a", RequestOutcome.DONE, 1.0, usage)
    history.request_ended(RequestKind.GENERATION, "a", RequestOutcome.CANCELLED, 1.0, None)
    history.request_ended(RequestKind.GENERATION, "a", RequestOutcome.AGENT_LOST, 1.0, None)
    history.request_buffered(RequestKind.GENERATION, 10.0, BufferOutcome.TIMEOUT)
    sample = next_sample(history)
    assert sample.ttft_ms == 200.0
    assert sample.cached_share == 0.25
    assert sample.requests_ended == 3
    assert sample.requests_failed == 2

    empty = next_sample(history)
    assert (empty.ttft_ms, empty.cached_share, empty.requests_ended) == (None, None, 0)
    assert empty.sequence == sample.sequence + 1


def test_the_ring_forgets_the_oldest_samples() -> None:
    history = make_history(Gauges(), n_samples=3)
    for _ in range(5):
        next_sample(history)
    snapshot = history.snapshot()
    assert [sample.sequence for sample in snapshot.samples] == [2, 3, 4]
    assert snapshot.capacity == 3
    assert snapshot.instance == "run"


async def test_time_makes_it_tick(autojump_clock: MockClock) -> None:
    history = make_history(Gauges())
    with trio.move_on_after(TICK_S * (TICKS_PER_SAMPLE + 0.5)):
        await history.run()
    assert history.newest is not None
    assert history.ticks.value == pytest.approx(TICKS_PER_SAMPLE)
