"""A lease: one slot of one agent, held by a request."""

from __future__ import annotations

from typing import Literal

from paddler.balancer.dispatch.agent_slots import AgentSlots
from paddler.balancer.dispatch.requests import SlotHints

Why = Literal["only_free", "least_busy", "pinned", "cached", "cheapest", "waited"]
"""Why an agent was chosen, for the log.

No other had a free slot; it was the least busy; the named conversation was
there last; nobody holds more of the prompt; the estimate was lowest although
somebody does; its slot became free while the request waited."""


class Lease:
    """One slot of the agent behind `link_id`, until the pool takes it as released.

    `arrival` is the request's place in the order of arrival: with it, a
    request that was handed over waits ahead of all that came after it.
    `state_version` is what the agent serves while the lease lasts.
    `prefill_tokens`, `cached_tokens`, `queued_tokens` (of others, ahead of it)
    and `ttft_s` are the router's estimates.
    """

    __slots__ = (
        "agent",
        "arrival",
        "cached_tokens",
        "has_begun",
        "hints",
        "link_id",
        "prefill_tokens",
        "queued_tokens",
        "released",
        "state_version",
        "ttft_s",
        "why",
    )

    def __init__(self, agent: AgentSlots, hints: SlotHints, arrival: int, why: Why) -> None:
        self.agent = agent
        self.why = why
        self.link_id = agent.link_id
        self.state_version = agent.state_version
        self.hints = hints
        self.arrival = arrival
        self.released = False
        self.has_begun = False
        self.prefill_tokens = 0.0
        self.cached_tokens = 0.0
        self.queued_tokens = 0.0
        self.ttft_s = 0.0
