"""From errors to the contract's issues, and whether another attempt can help."""

from __future__ import annotations

from paddler.agent.backend.protocol import Engine
from paddler.agent.errors import AttemptFailed
from paddler.agent.model_sources.errors import ModelSourceError
from paddler.engine import errors
from paddler.messages.agents import ChatTemplateIssue, Issue, ModelIssue, SlotIssue

__all__ = ["chat_template_issues", "open_failure", "source_failure"]


def source_failure(error: ModelSourceError, model_path: str) -> AttemptFailed:
    """The files of the model at `model_path` could not be had."""
    return AttemptFailed(
        str(error),
        issues=[error.issue(model_path)],
        retryable=error.retryable,
        patient=error.patient,
    )


def open_failure(
    error: errors.EngineError, model_path: str, projection_path: str | None = None
) -> AttemptFailed:
    """The engine could not open the model at `model_path`, or its multimodal projection.

    A broken file stays broken; a missing one may appear, memory may be freed.
    """
    issue: Issue
    retryable = False
    if isinstance(error, errors.ProjectorFailed) and projection_path is not None:
        return _projection_failure(error, projection_path)
    match error:
        case errors.ModelFileNotFound():
            issue, retryable = ModelIssue("ModelFileDoesNotExist", model_path), True
        case errors.ModelFileUnreadable() | errors.OutOfMemory():
            issue, retryable = ModelIssue("ModelCannotBeLoaded", model_path), True
        case errors.InvalidArgument():
            issue = SlotIssue(str(error), 0)
        case _:
            issue = ModelIssue("ModelCannotBeLoaded", model_path)
    return AttemptFailed(str(error), issues=[issue], retryable=retryable)


def _projection_failure(error: errors.ProjectorFailed, projection_path: str) -> AttemptFailed:
    match error.__cause__:
        case errors.ModelFileNotFound():
            issue, retryable = ModelIssue("ModelFileDoesNotExist", projection_path), True
        case errors.ModelFileUnreadable() | errors.OutOfMemory():
            issue = ModelIssue("MultimodalProjectionCannotBeLoaded", projection_path)
            retryable = True
        case _:
            issue = ModelIssue("MultimodalProjectionCannotBeLoaded", projection_path)
            retryable = False
    return AttemptFailed(str(error), issues=[issue], retryable=retryable)


def chat_template_issues(
    engine: Engine, model_path: str, chat_template_override: str | None
) -> list[Issue]:
    """What is wrong with the chat template of an open model; raw prompts work anyway."""
    if not engine.facts.can_generate:
        return []
    if engine.chat_error is not None:
        source = chat_template_override
        if source is None:
            source = engine.facts.chat_template or ""
        return [ChatTemplateIssue(str(engine.chat_error), model_path, source)]
    if engine.chat is None:
        return [ModelIssue("UnableToFindChatTemplate", model_path)]
    return []
