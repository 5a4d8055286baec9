"""What the choice of a slot may depend on."""

from __future__ import annotations

import dataclasses
import enum

from paddler.balancer.dispatch.prefix_chain import PrefixChain


class RequestKind(enum.Enum):
    """What an agent must be able to do."""

    GENERATION = "generation"
    EMBEDDING = "embedding"

    # Members are singletons; Enum's own hash is Python code, on the path of every decision.
    __hash__ = object.__hash__


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SlotHints:
    """A request as dispatch sees it.

    `state_version` limits the choice to agents that serve that version of the
    applicable state (None: any): a request that generated something already
    must not go on under another model. `chain` is what its prompt consists of,
    and `pin` the conversation that the client named, if it did.
    """

    kind: RequestKind = RequestKind.GENERATION
    state_version: int | None = None
    chain: PrefixChain | None = None
    pin: int | None = None
