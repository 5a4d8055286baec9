"""One agent's slots, as the choice of an agent sees them."""

from __future__ import annotations

from paddler.balancer.dispatch.requests import RequestKind, SlotHints


class AgentSlots:
    """One connected agent as dispatch sees it; made by `SlotPool.join`.

    Reading is free; only the pool and its router change anything.
    """

    __slots__ = (
        "link_id",
        "n_leased",
        "n_slots",
        "pending_prefill_tokens",
        "prefill_tokens_per_s",
        "serves",
        "state_version",
    )

    def __init__(self, link_id: int) -> None:
        self.link_id = link_id
        self.n_slots = 0
        self.n_leased = 0
        self.serves: frozenset[RequestKind] = frozenset()
        self.state_version: int | None = None
        self.prefill_tokens_per_s: float | None = None
        self.pending_prefill_tokens = 0.0
        """Estimated tokens that it was given to prefill and has not yet."""

    def can_take(self, hints: SlotHints) -> bool:
        """Whether a slot is free here that such a request could use."""
        return self.n_leased < self.n_slots and self.could_serve(hints)

    def could_serve(self, hints: SlotHints) -> bool:
        """The same, were a slot free."""
        return hints.kind in self.serves and (
            hints.state_version is None or hints.state_version == self.state_version
        )
