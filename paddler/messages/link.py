"""Frames between agent and balancer: one msgpack message per binary frame.

The agent dials `/api/v1/agent_socket/{agent_id}` and sends `Hello` first; the
balancer answers with `Welcome` or `Refused`. Request ids are numbers the
balancer hands out, unique within one link. Neither side waits for a consumer
while it reads: frames are decoded and posted.

The protocol's version changes whenever a frame's meaning does; both ends must
speak the same one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from paddler.messages.agents import ApplicationStatus, Issue
from paddler.messages.embeddings import EmbeddingDocument, EmbeddingResult, Normalization
from paddler.messages.generation import GenerationEvent, GenerationOrder
from paddler.messages.state import ApplicableState, PoolingType
from paddler.messages.templates import TemplateCheck

PROTOCOL_VERSION = 1

MAX_FRAME_BYTES = 256 * 1024 * 1024
"""Largest frame either end accepts; the request body limit is far below."""


class Hello(msgspec.Struct, frozen=True, tag="hello", kw_only=True):
    """The agent introduces itself.

    `applied_version` is the state it serves already, if it comes back after a
    lost link: a balancer that wants that same version leaves it in place.
    """

    protocol_version: int
    name: str | None
    slots: int
    paddler_version: str
    llama_cpp_version: str
    applied_version: int | None = None


class HelloHeader(msgspec.Struct, frozen=True, tag="hello"):
    """The part of `Hello` that every protocol version has."""

    protocol_version: int


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """Proof of life, both ways.

    The balancer sends one every few seconds and the agent answers each with
    one of its own, so that either end notices a peer that fell silent.
    """


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """A download or load in progress; `total_bytes` 0 with `indeterminate`."""

    filename: str
    current_bytes: int
    total_bytes: int
    indeterminate: bool


class ModelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The model an agent serves now.

    `metadata` are the GGUF keys with scalar values. `context_tokens` is one
    slot's context. `chat_template` is the template in use, override or not.
    `pooling_type` is what embeddings are pooled with, None without embeddings.
    """

    path: str
    name: str
    metadata: dict[str, str]
    chat_template: str | None
    uses_chat_template_override: bool
    can_generate: bool
    can_embed: bool
    supports_images: bool
    context_tokens: int
    n_parameters: int
    size_bytes: int
    pooling_type: PoolingType | None = None


class AgentStatus(msgspec.Struct, frozen=True, tag="status", kw_only=True):
    """The agent's condition, sent whenever it changes.

    Requests are given to an agent only while `model` is set and
    `applied_version` is the version the balancer told it to apply.
    `attempted_version` is the version that `status` speaks of.
    """

    status: ApplicationStatus
    applied_version: int | None
    slots_total: int
    model: ModelDescription | None
    download: Download | None
    issues: list[Issue]
    prefill_tokens_per_s: float | None = None
    attempted_version: int | None = None


class RequestEvents(msgspec.Struct, frozen=True, array_like=True):
    """What one request has to tell, in order."""

    request_id: int
    events: list[GenerationEvent]


class EventBatch(msgspec.Struct, frozen=True, tag="events"):
    """The events of all slots since the last frame: one frame per decode step."""

    batch: list[RequestEvents]


class EmbeddingEvents(msgspec.Struct, frozen=True, tag="embeddings"):
    """Results for a chunk of documents; `done` ends the chunk."""

    request_id: int
    results: list[EmbeddingResult]
    done: bool
    error: str | None = None


class HandedOver(msgspec.Struct, frozen=True, tag="handed_over"):
    """The agent gives requests back unfinished; another agent may continue them."""

    request_ids: list[int]
    reason: str


class Leaving(msgspec.Struct, frozen=True, tag="leaving"):
    """The agent shuts down and takes no more requests."""

    reason: str


class SlotReport(msgspec.Struct, frozen=True, array_like=True):
    """One slot: `state` is free, prefill or decode; tokens in its KV cache."""

    state: Literal["free", "prefill", "decode"]
    cached_tokens: int


class CacheCounts(msgspec.Struct, frozen=True, array_like=True):
    """Prompts by where their cached prefix came from, since the model was loaded.

    `n_evictions` are conversations pushed out of host memory.
    """

    n_missed: int = 0
    n_from_slot: int = 0
    n_from_host: int = 0
    n_shared: int = 0
    n_evictions: int = 0


class LoadReport(msgspec.Struct, frozen=True, tag="load", kw_only=True):
    """The slots now, sent at most a few times a second while they change."""

    slots: list[SlotReport]
    generated_tokens_per_s: float
    prompt_cache_bytes: int
    cache: CacheCounts = CacheCounts()


class CacheReport(msgspec.Struct, frozen=True, tag="cache"):
    """The prompts whose KV state the agent holds, in slots and in host memory.

    Each is named by the last hash of its `Generate.prefix_chain`. Complete:
    what is not listed is not held. Sent after it changed, at most a few times
    a second, and never ahead of the `GenerationStarted` that it follows from.
    """

    tips: list[int]


class TemplateChecked(msgspec.Struct, frozen=True, tag="template_checked"):
    """Answers `CheckTemplate`."""

    check: TemplateCheck


Answer = TemplateChecked


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The answer to an `Ask`; None where the agent could not find it."""

    request_id: int
    answer: Answer | None


FromAgent = (
    Hello
    | AgentStatus
    | LoadReport
    | EventBatch
    | EmbeddingEvents
    | HandedOver
    | Leaving
    | Heartbeat
    | CacheReport
    | Answered
)


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The agent is registered."""

    balancer_version: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The agent is not registered; the balancer closes the link after this."""

    reason: str


class ApplyState(msgspec.Struct, frozen=True, tag="apply_state"):
    """Apply `state`; a later frame cancels the attempt of an earlier one.

    `version` names the state's content: equal versions are equal states, also
    across restarts of the balancer. It has no order. Requests in flight get
    `drain_timeout_s` to finish before they are handed back.
    """

    version: int
    state: ApplicableState
    drain_timeout_s: float


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Where another agent left a generation.

    `token_ids` were generated already; the client has the first `n_sent_bytes`
    UTF-8 bytes of the text that was emitted for them. Usage and limits count
    on from them.
    """

    token_ids: list[int]
    n_sent_bytes: int


class Generate(msgspec.Struct, frozen=True, tag="generate", kw_only=True):
    """Run a generation. `prefix_chain` are hashes of the growing prompt."""

    request_id: int
    order: GenerationOrder
    prefix_chain: list[int] = []
    resume: Resume | None = None


class Embed(msgspec.Struct, frozen=True, tag="embed", kw_only=True):
    """Embed documents; the agent normalizes what the model's pooling makes of them."""

    request_id: int
    documents: list[EmbeddingDocument]
    normalization: Normalization = "None"


class CancelRequest(msgspec.Struct, frozen=True, tag="cancel"):
    """Nobody waits for this request any more."""

    request_id: int


class CheckTemplate(msgspec.Struct, frozen=True, tag="check_template"):
    """Asks what becomes of a chat template that is tried; nothing else changes."""

    source: str


Question = CheckTemplate


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """A question to the agent, which answers with `Answered`."""

    request_id: int
    question: Question


ToAgent = Welcome | Refused | ApplyState | Generate | Embed | CancelRequest | Heartbeat | Ask
