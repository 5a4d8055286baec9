"""Whether a request could be served now, and if not, why."""

from __future__ import annotations

from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.fleet.fleet import Fleet


def reason_not_ready(fleet: Fleet) -> str | None:
    """None if some agent serves requests, else one sentence."""
    reasons = [fleet.why_none_serves(kind) for kind in RequestKind]
    return None if None in reasons else reasons[0]
