"""Whether a request could be served now, and if not, why."""

from __future__ import annotations

from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.fleet.fleet import Fleet


def reason_not_ready(fleet: Fleet) -> str | None:
    """None if some agent serves requests, else one sentence."""
    if any(fleet.serving(kind) for kind in RequestKind):
        return None
    if not any(True for _ in fleet.records):
        return "no agent is connected"
    return "no agent has a model ready"
