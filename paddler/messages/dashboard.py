"""The dashboard: the fleet as an operator watches it.

Wider than the agents snapshot, whose shape clients rely on. Times are Unix
milliseconds; rates are per second; whatever was not measured is null.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from paddler.messages.agents import ApplicationStatus, IssueKind
from paddler.messages.link import Download

SlotState = Literal["free", "prefill", "decode"]

RolloutStage = Literal["applied", "applying", "failed", "kept_back", "waiting"]
"""Where an agent stands with the newest state.

`kept_back`: it serves the state before, because the newest failed elsewhere.
"""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One interval of the history.

    `sequence` counts samples since the balancer started. `buffered` is the most
    that waited, `processing` and `tokens_per_s` are means; `ttft_ms` is the
    median of the generations that began to answer, `cached_share` the part of
    prompt tokens whose KV cache was reused, over the requests that ended.
    """

    sequence: int
    at_ms: int
    processing: float
    buffered: int
    requests_ended: int
    requests_failed: int
    ttft_ms: float | None
    tokens_per_s: float
    cached_share: float | None


class HistorySnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The last minutes, oldest sample first."""

    instance: str
    interval_ms: int
    capacity: int
    samples: list[Sample]


class BufferView(msgspec.Struct, frozen=True, kw_only=True):
    """The buffer now; `capacity` 0 means that nothing may wait."""

    waiting: int
    capacity: int
    timeout_ms: int


class SlotView(msgspec.Struct, frozen=True, kw_only=True):
    """One slot; `cached_tokens` are in its KV cache, also while it is free."""

    state: SlotState
    cached_tokens: int


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """The model an agent serves, in brief."""

    path: str
    name: str
    context_tokens: int
    n_parameters: int
    size_bytes: int
    can_generate: bool
    can_embed: bool
    supports_images: bool
    has_chat_template: bool
    uses_chat_template_override: bool


class IssueView(msgspec.Struct, frozen=True, kw_only=True):
    """An issue with what it means and what to do about it.

    `kind` is the contract's name. `error` is what the program said,
    `template_content` the chat template that does not compile.
    """

    kind: IssueKind
    summary: str
    advice: str
    subject: str
    error: str | None = None
    template_content: str | None = None


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """One agent."""

    id: str
    name: str | None
    paddler_version: str
    llama_cpp_version: str
    status: ApplicationStatus
    stage: RolloutStage
    slots_desired: int
    slots_processing: int
    slots: list[SlotView]
    tokens_per_s: float
    prefill_tokens_per_s: float | None
    prompt_cache_bytes: int
    model: ModelView | None
    download: Download | None
    issues: list[IssueView]


class RolloutView(msgspec.Struct, frozen=True, kw_only=True):
    """How far the newest state got: agents by stage."""

    applied: int
    applying: int
    failed: int
    kept_back: int
    waiting: int


class DashboardSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment.

    `instance` names this run of the balancer. `model_path` is what is asked
    for, "None" if nothing is; `state_revision` grows with every desired state
    that is put. `sample` is the newest of the history.
    """

    instance: str
    version: str
    model_path: str
    state_revision: int
    buffer: BufferView
    slots_total: int
    slots_processing: int
    tokens_per_s: float
    rollout: RolloutView
    agents: list[AgentView]
    sample: Sample | None


class AgentModelDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The model an agent serves, with its GGUF metadata and the template in use."""

    path: str
    name: str
    metadata: dict[str, str]
    chat_template: str | None
    uses_chat_template_override: bool
