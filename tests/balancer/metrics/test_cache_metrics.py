from __future__ import annotations

from paddler.balancer.metrics.registry import MetricsRegistry
from paddler.messages.link import CacheCounts, LoadReport


def report(cache: CacheCounts, prompt_cache_bytes: int = 0) -> LoadReport:
    return LoadReport(
        slots=[],
        generated_tokens_per_s=0.0,
        prompt_cache_bytes=prompt_cache_bytes,
        cache=cache,
    )


def test_what_caches_did_is_told_by_agent() -> None:
    registry = MetricsRegistry("paddler_")
    agents = [
        ("one", report(CacheCounts(1, 2, 3, 4, 5), 100)),
        ("two", report(CacheCounts(10, 0, 0, 0, 0))),
        ("two", report(CacheCounts(5, 0, 0, 0, 0), 7)),
        (None, report(CacheCounts())),
    ]
    registry.watch_caches(lambda: agents)
    lines = registry.text().decode().splitlines()
    for line in (
        'paddler_prompts_total{agent="one",cached_in="none"} 1.0',
        'paddler_prompts_total{agent="one",cached_in="slot"} 2.0',
        'paddler_prompts_total{agent="one",cached_in="host"} 3.0',
        'paddler_prompts_total{agent="one",cached_in="shared"} 4.0',
        'paddler_prompts_total{agent="two",cached_in="none"} 15.0',
        'paddler_prompt_cache_evictions_total{agent="one"} 5.0',
        'paddler_prompt_cache_bytes{agent="one"} 100.0',
        'paddler_prompt_cache_bytes{agent="two"} 7.0',
    ):
        assert line in lines
    agents.clear()
    assert "agent=" not in registry.text().decode()


def test_names_of_caches_metrics_have_the_prefix() -> None:
    registry = MetricsRegistry("mine_")
    registry.watch_caches(lambda: [("one", report(CacheCounts()))])
    assert 'mine_prompt_cache_bytes{agent="one"} 0.0' in registry.text().decode()
