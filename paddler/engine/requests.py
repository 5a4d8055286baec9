"""What the engine is asked, and the events it answers with.

Plain data: token ids, resolved sampling parameters and text. Nothing here
knows conversations, the wire contract or the native library.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Protocol

from paddler.messages.generation import FinishReason, TokenClass

__all__ = ["FinishReason", "TokenClass"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineSampling:
    """Sampling parameters, all resolved; meanings as in `messages.sampling`."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    seed: int = 0
    penalty_last_n: int = 64
    penalty_repeat: float = 1.0
    penalty_frequency: float = 0.0
    penalty_presence: float = 0.0
    logit_bias: Sequence[tuple[int, float]] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GrammarConstraint:
    """GBNF text and its start rule.

    A lazy grammar constrains only after one of its triggers appeared. `prefix`
    is what the grammar accepts before generation starts.
    """

    text: str
    root: str = "root"
    lazy: bool = False
    trigger_patterns: Sequence[str] = ()
    trigger_tokens: Sequence[int] = ()
    prefix: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ClassMarker:
    """Output text that changes the class of what follows.

    Applies while `when` is the current class (None: always). With `emit` the
    marker belongs to the text, in its new class; otherwise it is left out.
    """

    text: str
    when: TokenClass | None
    becomes: TokenClass
    emit: bool


class MediaHandle(Protocol):
    """A prompt with images: `paddler.engine.images.MediaPrompt`."""

    @property
    def handle(self) -> object:
        """The native prompt; open while the request is submitted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One generation.

    `media` is a prompt with images, instead of `prompt_tokens`. `max_tokens`
    counts replayed tokens too and is cut to the context. `replay_tokens` were
    generated elsewhere; the first `replay_sent_bytes` UTF-8 bytes of their
    text are not emitted again. `checkpoints` are prompt positions (tokens)
    where a later prompt will probably diverge. `n_logprobs` None is off.
    `with_raw_text` makes `Tokens` carry what the model wrote, markers included.
    """

    prompt_tokens: Sequence[int]
    max_tokens: int
    media: MediaHandle | None = None
    sampling: EngineSampling = EngineSampling()
    stops: Sequence[str] = ()
    grammar: GrammarConstraint | None = None
    preserved_tokens: Sequence[int] = ()
    initial_class: TokenClass = TokenClass.CONTENT
    markers: Sequence[ClassMarker] = ()
    checkpoints: Sequence[int] = ()
    replay_tokens: Sequence[int] = ()
    replay_sent_bytes: int = 0
    n_logprobs: int | None = None
    ignore_end: bool = False
    with_raw_text: bool = False


class CacheKind(enum.IntEnum):
    """Where the reused part of a prompt came from."""

    NONE = 0
    SLOT = 1
    RAM = 2
    SHARED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """A slot took the request."""

    slot: int
    n_prompt_tokens: int
    n_cached_tokens: int
    cache_kind: CacheKind


@dataclasses.dataclass(frozen=True, slots=True)
class Logprob:
    """A candidate token and its natural log-probability."""

    token_id: int
    text: bytes
    logprob: float


@dataclasses.dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The chosen token and the likeliest candidates at its position."""

    chosen: Logprob
    top: Sequence[Logprob]


@dataclasses.dataclass(frozen=True, slots=True)
class Tokens:
    """Generated tokens, and the text (whole UTF-8, maybe empty) they complete.

    `raw_text` is what the model wrote: bytes that may end within a character.
    Empty unless `with_raw_text` was asked for; without token ids it is the text
    of replayed tokens.
    """

    token_ids: list[int]
    token_class: TokenClass
    text: str
    logprobs: list[TokenLogprob]
    raw_text: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The generation ended as it should; always the last event.

    `n_generated` counts tokens by class. `state_kept`: the slot still holds the
    sequence.
    """

    reason: FinishReason
    n_generated: dict[TokenClass, int]
    queued_ms: float
    prefill_ms: float
    decode_ms: float
    state_kept: bool


EngineEvent = Started | Tokens | Ended
