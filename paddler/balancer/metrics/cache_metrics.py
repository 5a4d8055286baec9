"""What agents' prompt caches did, as Prometheus metrics.

Read from the agents' last load reports when somebody asks; agents that left
are gone from the metrics too. Agents that share a name are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from paddler.messages.link import LoadReport

CacheReadings = Callable[[], Iterable[tuple[str, LoadReport]]]
"""Agents' labels and their last load reports."""


class PromptCacheMetrics(Collector):
    """Prompts by where their cached prefix came from, evictions, and bytes in host memory.

    Args:
        prefix: Of every metric's name.
        read: Tells the agents' last load reports.
    """

    def __init__(self, prefix: str, read: CacheReadings) -> None:
        self._prefix = prefix
        self._read = read

    @override
    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        prompts: dict[tuple[str, str], int] = {}
        evictions: dict[str, int] = {}
        cache_bytes: dict[str, int] = {}
        for agent, report in self._read():
            counts = report.cache
            for source, n_prompts in (
                ("none", counts.n_missed),
                ("slot", counts.n_from_slot),
                ("host", counts.n_from_host),
                ("shared", counts.n_shared),
            ):
                prompts[agent, source] = prompts.get((agent, source), 0) + n_prompts
            evictions[agent] = evictions.get(agent, 0) + counts.n_evictions
            cache_bytes[agent] = cache_bytes.get(agent, 0) + report.prompt_cache_bytes
        yield self._prompts(prompts)
        eviction_counter = CounterMetricFamily(
            self._prefix + "prompt_cache_evictions",
            "Conversations pushed out of host memory since the model was loaded.",
            labels=("agent",),
        )
        bytes_gauge = GaugeMetricFamily(
            self._prefix + "prompt_cache_bytes",
            "Host memory that holds conversations whose slot was needed.",
            labels=("agent",),
        )
        for agent in evictions:
            eviction_counter.add_metric((agent,), evictions[agent])
            bytes_gauge.add_metric((agent,), cache_bytes[agent])
        yield eviction_counter
        yield bytes_gauge

    def _prompts(self, prompts: dict[tuple[str, str], int]) -> CounterMetricFamily:
        counter = CounterMetricFamily(
            self._prefix + "prompts",
            "Prompts since the model was loaded, by where their cached prefix came from.",
            labels=("agent", "cached_in"),
        )
        for labels, n_prompts in prompts.items():
            counter.add_metric(labels, n_prompts)
        return counter
