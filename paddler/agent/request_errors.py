"""Why a request cannot be served, as the event that ends it."""

from __future__ import annotations

from paddler.engine import errors
from paddler.messages.generation import (
    CONTEXT_LENGTH_EXCEEDED,
    GenerationFailed,
    GenerationFailure,
    GenerationRefused,
    ImageTooLarge,
)

__all__ = ["RequestEnded", "failed", "failure_event"]

_FAILURES: dict[type[errors.EngineError], GenerationFailure] = {
    errors.BadGrammar: GenerationFailure.GRAMMAR_INITIALIZATION_FAILED,
    errors.BadImage: GenerationFailure.IMAGE_DECODING_FAILED,
    errors.BadSchema: GenerationFailure.GRAMMAR_SYNTAX_ERROR,
    errors.BadTemplate: GenerationFailure.CHAT_TEMPLATE_ERROR,
    errors.GrammarDeadEnd: GenerationFailure.GRAMMAR_REJECTED_MODEL_OUTPUT,
    errors.Unsupported: GenerationFailure.TOKEN_GENERATION_DISABLED,
}
_REFUSALS: dict[type[errors.EngineError], int] = {
    errors.InvalidArgument: 400,
    errors.PromptTooLong: 400,
}


class RequestEnded(Exception):
    """The request cannot be served; `event` is its terminal event."""

    def __init__(self, event: GenerationFailed | GenerationRefused | ImageTooLarge) -> None:
        super().__init__(type(event).__name__)
        self.event = event


def failed(failure: GenerationFailure, message: str) -> RequestEnded:
    """One of the contract's failures, ready to be raised."""
    return RequestEnded(GenerationFailed(failure, message))


def failure_event(error: errors.EngineError) -> GenerationFailed | GenerationRefused:
    """How a request ends that the engine refused or failed.

    Files, loading and parsing have no part in a generation: such errors, like
    any the table does not know, are faults of the agent (500).
    """
    failure = _FAILURES.get(type(error))
    if failure is not None:
        return GenerationFailed(failure, str(error))
    reason = CONTEXT_LENGTH_EXCEEDED if isinstance(error, errors.PromptTooLong) else None
    return GenerationRefused(_REFUSALS.get(type(error), 500), str(error), reason)
