"""Agents as the management service shows them: snapshots, statuses, issues."""

from __future__ import annotations

import enum
from typing import Literal

import msgspec


class ApplicationStatus(enum.StrEnum):
    """How far an agent got with the state it was told to apply."""

    FRESH = "Fresh"
    APPLIED = "Applied"
    ATTEMPTED_AND_RETRYING = "AttemptedAndRetrying"
    STUCK = "Stuck"
    ATTEMPTED_AND_NOT_APPLIABLE = "AttemptedAndNotAppliable"


ModelIssueKind = Literal[
    "CacheCannotAcquireLock",
    "CacheDirectoryIsNotWritable",
    "CacheStorageIsFull",
    "DownloadInterrupted",
    "DownloadServerDeniedAccess",
    "DownloadServerErrored",
    "DownloadServerIsUnreachable",
    "DownloadServerRejectedRequest",
    "DownloadUrlIsMalformed",
    "HuggingFaceModelDoesNotExist",
    "HuggingFacePermissions",
    "ModelCacheIsCorrupted",
    "ModelCannotBeLoaded",
    "ModelDoesNotExistAtUrl",
    "ModelFileDoesNotExist",
    "MultimodalProjectionCannotBeLoaded",
    "UnableToFindChatTemplate",
]

IssueKind = Literal[
    ModelIssueKind,
    "ChatTemplateDoesNotCompile",
    "HuggingFaceCannotAcquireLock",
    "SlotCannotStart",
]
"""The public names of issues."""


class ModelIssue(msgspec.Struct, frozen=True, tag="model"):
    """Something is wrong with the model at `model_path`."""

    kind: ModelIssueKind
    model_path: str


class ChatTemplateIssue(msgspec.Struct, frozen=True, tag="chat_template"):
    """`ChatTemplateDoesNotCompile`."""

    error: str
    model_path: str
    template_content: str


class HuggingFaceLockIssue(msgspec.Struct, frozen=True, tag="hugging_face_lock"):
    """`HuggingFaceCannotAcquireLock`: another process holds the cache's lock."""

    lock_path: str
    model_path: str


class SlotIssue(msgspec.Struct, frozen=True, tag="slot"):
    """`SlotCannotStart`."""

    error: str
    slot_index: int


Issue = ModelIssue | ChatTemplateIssue | HuggingFaceLockIssue | SlotIssue


def issue_to_json(issue: Issue) -> dict[str, object]:
    """The public JSON of an issue: `{"Variant": params}`."""
    match issue:
        case ModelIssue(kind, model_path):
            return {kind: {"model_path": model_path}}
        case ChatTemplateIssue(error, model_path, template_content):
            return {
                "ChatTemplateDoesNotCompile": {
                    "error": error,
                    "model_path": {"model_path": model_path},
                    "template_content": template_content,
                }
            }
        case HuggingFaceLockIssue(lock_path, model_path):
            return {
                "HuggingFaceCannotAcquireLock": {
                    "lock_path": lock_path,
                    "model_path": {"model_path": model_path},
                }
            }
        case SlotIssue(error, slot_index):
            return {"SlotCannotStart": {"error": error, "slot_index": slot_index}}


class AgentSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One agent in `GET /api/v1/agents`: exactly the contract's fields.

    `download_current` and `download_total` are bytes. `issues` holds what
    `issue_to_json` makes.
    """

    id: str
    name: str | None
    desired_slots_total: int
    slots_total: int
    slots_processing: int
    model_path: str | None
    download_current: int
    download_total: int
    download_filename: str | None
    download_indeterminate: bool
    issues: list[dict[str, object]]
    state_application_status: ApplicationStatus
    uses_chat_template_override: bool


class AgentsSnapshot(msgspec.Struct, frozen=True):
    """The whole fleet."""

    agents: list[AgentSnapshot]


class BufferedRequestsSnapshot(msgspec.Struct, frozen=True):
    """How many requests wait for a slot."""

    buffered_requests_current: int
