"""Counters, gauges and histograms, and their Prometheus text.

Labels are bounded: outcomes and kinds are enumerations, agents are named by
their names, and past `MAX_AGENT_LABELS` of them all others are one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from typing_extensions import override

from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.metrics.cache_metrics import PromptCacheMetrics
from paddler.balancer.requests.observations import BufferOutcome, RequestOutcome
from paddler.messages.generation import Usage
from paddler.messages.link import LoadReport

MAX_AGENT_LABELS = 256
_OTHER_AGENTS = "(other)"
_NAMELESS = "(unnamed)"

_WAIT_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TTFT_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_GAP_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5)
_DURATION_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gauges:
    """The contract's three gauges, read when somebody wants to know."""

    slots_processing: Callable[[], int]
    slots_total: Callable[[], int]
    requests_buffered: Callable[[], int]

    def read(self) -> dict[str, int]:
        """Their values by name, without prefix."""
        return {
            "slots_processing": self.slots_processing(),
            "slots_total": self.slots_total(),
            "requests_buffered": self.requests_buffered(),
        }


class _RegistryWithoutBeginnings(CollectorRegistry):
    """Leaves out the series that say when each counter and histogram began.

    Half of all series, and of no use: the library's own switch is process-wide.
    """

    @override
    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            beginning = f"{metric.name}_created"
            metric.samples = [each for each in metric.samples if each.name != beginning]
            yield metric


class MetricsRegistry:
    """Implements the generation `Observer`; a registry of its own, not the process's.

    Args:
        prefix: Of every metric's name.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._registry = _RegistryWithoutBeginnings()
        self._agents: set[str] = set()
        self._buffer_wait = self._histogram(
            "buffer_wait_seconds",
            "Time from a request's arrival to a slot, or to giving up.",
            _WAIT_BUCKETS_S,
            ("kind", "outcome"),
        )
        self._ttft = self._histogram(
            "time_to_first_token_seconds",
            "Time from a request's arrival to its first token.",
            _TTFT_BUCKETS_S,
        )
        self._token_gap = self._histogram(
            "inter_token_latency_seconds",
            "Time between two token events of one generation.",
            _GAP_BUCKETS_S,
        )
        self._duration = self._histogram(
            "request_duration_seconds",
            "Time from a request's arrival to its end.",
            _DURATION_BUCKETS_S,
            ("kind", "outcome"),
        )
        labels = ("agent", "outcome")
        self._requests = self._counter("requests", "Requests that held a slot.", ("kind", *labels))
        self._prompt_tokens = self._counter("prompt_tokens", "Prompt tokens.", labels)
        self._cached_tokens = self._counter(
            "cached_prompt_tokens", "Prompt tokens whose KV cache was reused.", labels
        )
        self._generated_tokens = self._counter("generated_tokens", "Generated tokens.", labels)
        self._takeovers = self._counter(
            "takeovers", "Requests that lost their agent and went to another.", ("agent",)
        )

    def watch(self, gauges: Gauges) -> None:
        """Expose the contract's gauges; called once."""
        for name, read, description in (
            ("slots_processing", gauges.slots_processing, "Slots that work on a request."),
            ("slots_total", gauges.slots_total, "Slots that are ready."),
            ("requests_buffered", gauges.requests_buffered, "Requests that wait for a slot."),
        ):
            gauge = Gauge(self._prefix + name, description, registry=self._registry)
            gauge.set_function(read)

    def watch_caches(self, read: Callable[[], Iterable[tuple[str | None, LoadReport]]]) -> None:
        """Expose what agents' prompt caches did; called once.

        Args:
            read: Tells the agents' names and last load reports.
        """
        metrics = PromptCacheMetrics(
            self._prefix,
            lambda: ((self._agent_label(name), report) for name, report in read()),
        )
        self._registry.register(metrics)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def request_buffered(self, kind: RequestKind, wait_s: float, outcome: BufferOutcome) -> None:
        """A wait for a slot ended."""
        self._buffer_wait.labels(kind.value, outcome.value).observe(wait_s)

    def first_token(self, ttft_s: float) -> None:
        """A generation's first token arrived."""
        self._ttft.observe(ttft_s)

    def token_gaps(self, gaps_s: Sequence[float]) -> None:
        """Times between token events."""
        observe = self._token_gap.observe
        for gap_s in gaps_s:
            observe(gap_s)

    def request_ended(
        self,
        kind: RequestKind,
        agent_name: str | None,
        outcome: RequestOutcome,
        duration_s: float,
        usage: Usage | None,
    ) -> None:
        """A request that held a slot ended."""
        agent = self._agent_label(agent_name)
        self._duration.labels(kind.value, outcome.value).observe(duration_s)
        self._requests.labels(kind.value, agent, outcome.value).inc()
        if usage is None:
            return
        self._prompt_tokens.labels(agent, outcome.value).inc(usage.prompt_tokens)
        self._cached_tokens.labels(agent, outcome.value).inc(usage.cached_prompt_tokens)
        self._generated_tokens.labels(agent, outcome.value).inc(
            usage.content_tokens
            + usage.reasoning_tokens
            + usage.tool_call_tokens
            + usage.undeterminable_tokens
        )

    def taken_over(self, agent_name: str | None) -> None:
        """A request lost its agent."""
        self._takeovers.labels(self._agent_label(agent_name)).inc()

    def _agent_label(self, agent_name: str | None) -> str:
        name = agent_name or _NAMELESS
        if name in self._agents:
            return name
        if len(self._agents) >= MAX_AGENT_LABELS:
            return _OTHER_AGENTS
        self._agents.add(name)
        return name

    def _histogram(
        self, name: str, description: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        return Histogram(
            self._prefix + name, description, labels, buckets=buckets, registry=self._registry
        )

    def _counter(self, name: str, description: str, labels: Sequence[str]) -> Counter:
        return Counter(self._prefix + name, description, labels, registry=self._registry)
