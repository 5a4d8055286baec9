"""What services get: how a request started, and what arrives in its outbox.

An outbox is closed after its last item. A generation's last item is a
`GenerationDone`, `GenerationFailed`, `ImageTooLarge` or `GenerationError`; an
embedding batch has no last item of its own. The item that says how it ended
arrives even if the outbox is full.
"""

from __future__ import annotations

import dataclasses

from paddler.messages.embeddings import EmbeddingResult
from paddler.messages.generation import GenerationEvent
from paddler.messages.state import PoolingType


@dataclasses.dataclass(frozen=True, slots=True)
class GenerationError:
    """The request failed; becomes an `Error` envelope.

    `code` is 400 (refused), 502 (agent lost, nobody took over), 503 (shutting
    down, or the reader of the outbox fell too far behind) or 504 (item
    timeout). `reason` is that of a `GenerationRefused`.
    """

    code: int
    description: str
    reason: str | None = None


GenerationItem = GenerationEvent | GenerationError
"""`GenerationStarted` comes once at most, and `GenerationRefused` never:
it arrives as a `GenerationError`."""


@dataclasses.dataclass(slots=True, kw_only=True)
class GenerationStart:
    """A generation holds a slot. Live: read it when it is needed, not before.

    `agent_name` changes when another agent takes over. `buffered_ms` is the
    wait for the first slot; `ttft_ms`, from the call to the first token's
    arrival, is None until then. `n_takeovers` counts lost agents.
    """

    agent_id: str
    agent_name: str | None
    buffered_ms: float
    ttft_ms: float | None = None
    n_takeovers: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class EmbeddingStart:
    """The batch's first chunk holds a slot; None for an empty batch."""

    agent_name: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class EmbeddedDocument:
    """A document's result, the agent that made it and how it was pooled."""

    agent_name: str | None
    pooling_type: PoolingType
    result: EmbeddingResult


@dataclasses.dataclass(frozen=True, slots=True)
class EmbeddingChunkFailed:
    """An agent could not embed a chunk; becomes an `{"Error": …}` result."""

    agent_name: str | None
    message: str


EmbeddingItem = EmbeddedDocument | EmbeddingChunkFailed | GenerationError
