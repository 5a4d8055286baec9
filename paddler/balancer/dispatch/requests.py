"""What the choice of a slot may depend on."""

from __future__ import annotations

import dataclasses
import enum


class RequestKind(enum.Enum):
    """What an agent must be able to do."""

    GENERATION = "generation"
    EMBEDDING = "embedding"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SlotHints:
    """A request as dispatch sees it.

    `state_version` limits the choice to agents that serve that version of the
    applicable state (None: any): a request that generated something already
    must not go on under another model.
    """

    kind: RequestKind = RequestKind.GENERATION
    state_version: int | None = None
