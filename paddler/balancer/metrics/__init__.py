"""Metrics: what is counted, and how it leaves the process.

- `registry`: counts, and Prometheus text on demand.
- `statsd`: pushes gauges at an interval.
"""
