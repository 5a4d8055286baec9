"""The last minutes as a bounded ring of samples, for whoever opens a dashboard.

A tick reads the gauges; every few ticks become one sample. Nothing here grows:
the ring holds `n_samples`, and what arrives within one interval is bounded too.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import trio

from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.requests.observations import BufferOutcome, RequestOutcome
from paddler.concurrency.latest import Latest
from paddler.messages.dashboard import HistorySnapshot, Sample
from paddler.messages.generation import Usage

TICK_S = 0.25
TICKS_PER_SAMPLE = 8
N_SAMPLES = 450
"""15 minutes of 2 s."""

MAX_TTFTS_PER_SAMPLE = 4096
"""More than that in one interval do not change its median."""

_NOT_FAILURES = frozenset({RequestOutcome.DONE, RequestOutcome.CANCELLED})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Readings:
    """What a tick reads."""

    processing: Callable[[], int]
    buffered: Callable[[], int]
    tokens_per_s: Callable[[], float]


@dataclasses.dataclass(slots=True)
class _Interval:
    """What was seen since the last sample."""

    n_ticks: int = 0
    processing: float = 0.0
    buffered: int = 0
    tokens_per_s: float = 0.0
    requests_ended: int = 0
    requests_failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    ttfts_s: list[float] = dataclasses.field(default_factory=list)


class History:
    """Implements the generation `Observer`; `run` makes its clock go.

    Args:
        readings: Gauges to sample.
        instance: Names this run of the balancer.
        now_ms: Unix milliseconds, for the samples' times.
    """

    def __init__(
        self,
        readings: Readings,
        *,
        instance: str,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        n_samples: int = N_SAMPLES,
    ) -> None:
        self._readings = readings
        self._now_ms = now_ms
        self._samples: collections.deque[Sample] = collections.deque(maxlen=n_samples)
        self._n_samples = n_samples
        self._n_made = 0
        self._interval = _Interval()
        self.instance = instance
        self.ticks: Latest[int] = Latest(0)
        """Moves on with every tick."""

    @property
    def newest(self) -> Sample | None:
        """The last sample."""
        return self._samples[-1] if self._samples else None

    def snapshot(self) -> HistorySnapshot:
        """All samples, oldest first."""
        return HistorySnapshot(
            instance=self.instance,
            interval_ms=round(TICK_S * TICKS_PER_SAMPLE * 1000),
            capacity=self._n_samples,
            samples=list(self._samples),
        )

    async def run(self) -> NoReturn:
        """Tick for ever."""
        while True:
            await trio.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Read the gauges; a sample is made when its interval is over."""
        interval, readings = self._interval, self._readings
        interval.n_ticks += 1
        interval.processing += readings.processing()
        interval.buffered = max(interval.buffered, readings.buffered())
        interval.tokens_per_s += readings.tokens_per_s()
        if interval.n_ticks >= TICKS_PER_SAMPLE:
            self._samples.append(self._sample(interval))
            self._n_made += 1
            self._interval = _Interval()
        self.ticks.set(self.ticks.value + 1)

    def request_buffered(self, kind: RequestKind, wait_s: float, outcome: BufferOutcome) -> None:
        """A wait for a slot ended; one that failed is a failed request."""
        if outcome in (BufferOutcome.FULL, BufferOutcome.TIMEOUT):
            self._interval.requests_failed += 1

    def first_token(self, ttft_s: float) -> None:
        """A generation's first token arrived."""
        if len(self._interval.ttfts_s) < MAX_TTFTS_PER_SAMPLE:
            self._interval.ttfts_s.append(ttft_s)

    def token_gaps(self, gaps_s: Sequence[float]) -> None:
        """Not kept."""

    def request_ended(
        self,
        kind: RequestKind,
        agent_name: str | None,
        outcome: RequestOutcome,
        duration_s: float,
        usage: Usage | None,
    ) -> None:
        """A request that held a slot ended."""
        interval = self._interval
        interval.requests_ended += 1
        interval.requests_failed += outcome not in _NOT_FAILURES
        if usage is not None:
            interval.prompt_tokens += usage.prompt_tokens
            interval.cached_tokens += usage.cached_prompt_tokens

    def taken_over(self, agent_name: str | None) -> None:
        """Not kept: the request goes on."""

    def _sample(self, interval: _Interval) -> Sample:
        prompt_tokens = interval.prompt_tokens
        return Sample(
            sequence=self._n_made,
            at_ms=self._now_ms(),
            processing=round(interval.processing / interval.n_ticks, 2),
            buffered=interval.buffered,
            requests_ended=interval.requests_ended,
            requests_failed=interval.requests_failed,
            ttft_ms=(
                round(statistics.median(interval.ttfts_s) * 1000, 1) if interval.ttfts_s else None
            ),
            tokens_per_s=round(interval.tokens_per_s / interval.n_ticks, 1),
            cached_share=(
                round(interval.cached_tokens / prompt_tokens, 4) if prompt_tokens else None
            ),
        )
