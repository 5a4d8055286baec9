"""What is counted, and its Prometheus text."""

from __future__ import annotations

from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.metrics.registry import MAX_AGENT_LABELS, Gauges, MetricsRegistry
from paddler.balancer.requests.observations import BufferOutcome, RequestOutcome
from paddler.messages.generation import Usage


def lines_of(registry: MetricsRegistry) -> list[str]:
    return registry.text().decode().splitlines()


def test_gauges_are_read_when_somebody_asks() -> None:
    registry = MetricsRegistry("paddler_")
    values = [1, 4, 7]
    registry.watch(
        Gauges(
            slots_processing=lambda: values[0],
            slots_total=lambda: values[1],
            requests_buffered=lambda: values[2],
        )
    )
    assert "paddler_slots_processing 1.0" in lines_of(registry)
    values[0] = 2
    lines = lines_of(registry)
    assert "paddler_slots_processing 2.0" in lines
    assert "paddler_slots_total 4.0" in lines
    assert "paddler_requests_buffered 7.0" in lines


def test_requests_are_counted_by_kind_agent_and_outcome() -> None:
    registry = MetricsRegistry("paddler_")
    usage = Usage(prompt_tokens=10, cached_prompt_tokens=4, content_tokens=3, reasoning_tokens=2)
    registry.request_ended(RequestKind.GENERATION, "a1", RequestOutcome.DONE, 1.5, usage)
    registry.request_ended(RequestKind.GENERATION, None, RequestOutcome.CANCELLED, 0.1, None)
    lines = lines_of(registry)
    for line in (
        'paddler_requests_total{agent="a1",kind="generation",outcome="done"} 1.0',
        'paddler_requests_total{agent="(unnamed)",kind="generation",outcome="cancelled"} 1.0',
        'paddler_prompt_tokens_total{agent="a1",outcome="done"} 10.0',
        'paddler_cached_prompt_tokens_total{agent="a1",outcome="done"} 4.0',
        'paddler_generated_tokens_total{agent="a1",outcome="done"} 5.0',
        'paddler_request_duration_seconds_count{kind="generation",outcome="done"} 1.0',
    ):
        assert line in lines


def test_no_series_tells_when_another_began() -> None:
    registry = MetricsRegistry("paddler_")
    registry.request_ended(RequestKind.GENERATION, "a1", RequestOutcome.DONE, 1.5, None)
    assert "paddler_requests_total" in registry.text().decode()
    assert "_created" not in registry.text().decode()


def test_times_go_into_histograms() -> None:
    registry = MetricsRegistry("p_")
    registry.request_buffered(RequestKind.EMBEDDING, 0.2, BufferOutcome.GRANTED)
    registry.first_token(0.03)
    registry.token_gaps([0.004, 0.5, 100.0])
    registry.taken_over("a1")
    lines = lines_of(registry)
    for line in (
        'p_buffer_wait_seconds_bucket{kind="embedding",le="0.25",outcome="granted"} 1.0',
        'p_buffer_wait_seconds_bucket{kind="embedding",le="0.1",outcome="granted"} 0.0',
        'p_time_to_first_token_seconds_bucket{le="0.05"} 1.0',
        'p_inter_token_latency_seconds_bucket{le="0.005"} 1.0',
        'p_inter_token_latency_seconds_bucket{le="+Inf"} 3.0',
        'p_takeovers_total{agent="a1"} 1.0',
    ):
        assert line in lines


def test_agent_labels_are_bounded() -> None:
    registry = MetricsRegistry("p_")
    for number in range(MAX_AGENT_LABELS + 50):
        registry.taken_over(f"agent {number}")
    lines = [line for line in lines_of(registry) if line.startswith("p_takeovers_total")]
    assert len(lines) == MAX_AGENT_LABELS + 1
    assert 'p_takeovers_total{agent="(other)"} 50.0' in lines


def test_two_registries_share_nothing() -> None:
    first, second = MetricsRegistry("p_"), MetricsRegistry("p_")
    first.first_token(1.0)
    assert "p_time_to_first_token_seconds_count 0.0" in lines_of(second)
