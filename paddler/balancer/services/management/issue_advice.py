"""Issues in words: what happened, and what an operator does about it."""

from __future__ import annotations

from collections.abc import Mapping

from paddler.messages.agents import (
    ChatTemplateIssue,
    HuggingFaceLockIssue,
    Issue,
    ModelIssue,
    ModelIssueKind,
    SlotIssue,
)
from paddler.messages.dashboard import IssueView

MODEL_ISSUES: Mapping[ModelIssueKind, tuple[str, str]] = {
    "CacheCannotAcquireLock": (
        "Another program holds the lock on the model's file in the agent's cache.",
        "Wait for the other download to end. If none runs, delete the lock file beside the model.",
    ),
    "CacheDirectoryIsNotWritable": (
        "The agent cannot write to its model cache.",
        "Give the agent's user the right to write there, or set PADDLER_CACHE_DIR.",
    ),
    "CacheStorageIsFull": (
        "The disk of the agent's model cache is full.",
        "Free some space on the agent's machine, or point PADDLER_CACHE_DIR at a larger disk.",
    ),
    "DownloadInterrupted": (
        "The download broke off.",
        "The agent continues it by itself. If this repeats, check the network between the two.",
    ),
    "DownloadServerDeniedAccess": (
        "The server refuses to hand out the model.",
        "Check that the URL is public, or that its access key is part of it and still valid.",
    ),
    "DownloadServerErrored": (
        "The server failed while it was asked for the model.",
        "The agent tries again by itself. If this lasts, ask whoever runs the server.",
    ),
    "DownloadServerIsUnreachable": (
        "The agent cannot reach the server that has the model.",
        "Check host name, network and proxy settings on the agent's machine.",
    ),
    "DownloadServerRejectedRequest": (
        "The server does not accept the request for the model.",
        "Check the URL: open it in a browser.",
    ),
    "DownloadUrlIsMalformed": (
        "The model's URL is none that can be downloaded.",
        "Write a whole http:// or https:// URL of a .gguf file.",
    ),
    "HuggingFaceModelDoesNotExist": (
        "Hugging Face has no such repository, file or revision.",
        "Check the spelling of all three; the file list of the repository shows what is there.",
    ),
    "HuggingFacePermissions": (
        "Hugging Face does not let the agent have this model.",
        "Accept the model's terms on its page and start the agent with HF_TOKEN set.",
    ),
    "ModelCacheIsCorrupted": (
        "The file in the agent's cache is damaged.",
        "Delete it on the agent's machine; the agent then downloads it anew.",
    ),
    "ModelCannotBeLoaded": (
        "The model could not be loaded.",
        "See the agent's log. Often memory is short: try a smaller context, or a smaller model.",
    ),
    "ModelDoesNotExistAtUrl": (
        "There is nothing at this URL.",
        "Check the URL: open it in a browser.",
    ),
    "ModelFileDoesNotExist": (
        "The agent's machine has no such file.",
        "The path is one on the agent's machine: copy the file there, or correct the path.",
    ),
    "MultimodalProjectionCannotBeLoaded": (
        "The multimodal projection could not be loaded.",
        "Use the projection that belongs to this very model, or none.",
    ),
    "UnableToFindChatTemplate": (
        "The model carries no chat template, so that conversations cannot be served.",
        "Give it one on the Model page. Raw prompts work without.",
    ),
}


def explain_issue(issue: Issue) -> IssueView:
    """`issue` with its meaning and advice."""
    match issue:
        case ModelIssue(kind, model_path):
            summary, advice = MODEL_ISSUES[kind]
            return IssueView(kind=kind, summary=summary, advice=advice, subject=model_path)
        case ChatTemplateIssue(error, model_path, template_content):
            return IssueView(
                kind="ChatTemplateDoesNotCompile",
                summary="The chat template does not compile.",
                advice="Correct it on the Model page, or use the model's own template.",
                subject=model_path,
                error=error,
                template_content=template_content,
            )
        case HuggingFaceLockIssue(lock_path, model_path):
            return IssueView(
                kind="HuggingFaceCannotAcquireLock",
                summary="Another program holds the lock of the Hugging Face cache.",
                advice=f"Wait for it to end. If none runs, delete {lock_path}.",
                subject=model_path,
            )
        case SlotIssue(error, slot_index):
            return IssueView(
                kind="SlotCannotStart",
                summary=f"Slot {slot_index} could not be started.",
                advice="Often memory is short: start the agent with fewer slots, "
                "or ask for a smaller context.",
                subject=f"slot {slot_index}",
                error=error,
            )
