"""Errors in OpenAI's shape, with the status that clients decide on.

OpenAiError
├── BadRequest       400  the request cannot be served as it is
└── ModelNotFound    404  another model than the one the fleet serves

The `openai` client repeats a request on 408, 409, 429 and every 5xx. Where
repeating cannot help, `x-should-retry: false` tells it so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from paddler.balancer.http_edge.streaming import Answer
from paddler.balancer.requests.errors import (
    BufferFull,
    BufferTimeout,
    DispatchError,
    EmbeddingsNotEnabled,
    GenerationNotSupported,
    NoAgents,
    ShuttingDown,
)
from paddler.balancer.requests.items import GenerationError
from paddler.messages.decoding import MalformedMessage
from paddler.messages.generation import GenerationFailed, GenerationFailure, ImageTooLarge

RETRY_AFTER_S = 1

_PATH = re.compile(r"at `\$\.?(?P<path>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    501: "not_supported_error",
    503: "overloaded_error",
    504: "timeout_error",
}

_FAILURE_STATUSES = {
    GenerationFailure.DETOKENIZATION_FAILED: 500,
    GenerationFailure.SAMPLER_ERROR: 500,
    GenerationFailure.GRAMMAR_REJECTED_MODEL_OUTPUT: 500,
    GenerationFailure.TOKEN_GENERATION_DISABLED: 501,
}
"""Failures that are not the request's fault; all others are (400)."""

_EXCEPTIONS: dict[type[Exception], tuple[int, str | None]] = {
    BufferFull: (503, "buffer_full"),
    BufferTimeout: (504, "buffer_timeout"),
    ShuttingDown: (503, "shutting_down"),
    DispatchError: (503, None),
    GenerationNotSupported: (501, "generation_not_supported"),
    EmbeddingsNotEnabled: (501, "embeddings_not_enabled"),
    NoAgents: (503, "no_agents"),
}

_CODES = {502: "agent_lost", 503: "unavailable", 504: "item_timeout"}


class OpenAiError(Exception):
    """An error as clients of OpenAI's API get it.

    Args:
        status: The HTTP status.
        message: Fit to be shown to whoever asked.
        param: The request's field that is to blame.
        code: A short name programs can act on.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    @property
    def type(self) -> str:
        """OpenAI's coarse name for the kind of error."""
        default = "invalid_request_error" if self.status < 500 else "server_error"
        return _TYPES.get(self.status, default)

    def body(self) -> bytes:
        """The JSON that answers carry, and streams where they break off."""
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return msgspec.json.encode({"error": error})

    def answer(self) -> Answer:
        """The whole answer, for as long as no other was begun."""
        headers: list[tuple[str, str]] = []
        if self.status in (429, 503):
            headers.append(("Retry-After", str(RETRY_AFTER_S)))
        if self.status in (500, 501):
            headers.append(("x-should-retry", "false"))
        return Answer(status=self.status, body=self.body(), headers=tuple(headers))


class BadRequest(OpenAiError):
    """The request cannot be served as it is; `param` says which field is to blame."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(400, message, param=param, code=code)


class ModelNotFound(OpenAiError):
    """The fleet serves other models than `model`."""

    def __init__(self, model: str, served: Sequence[str]) -> None:
        names = ", ".join(f"`{name}`" for name in served)
        super().__init__(
            404,
            f"the model `{model}` is not served here; served now: {names or 'none'}",
            param="model",
            code="model_not_found",
        )


def render_error(status: int, description: str) -> Answer:
    """The answer for an error that only the HTTP edge knows."""
    code = "unknown_url" if status == 404 else None
    return OpenAiError(status, description, code=code).answer()


def known_error(error: BaseException) -> OpenAiError | None:
    """What clients get for `error`, or None if it is nothing they may meet."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, OpenAiError):
        return error
    if isinstance(error, MalformedMessage):
        return BadRequest(str(error), param=_blamed_field(str(error)))
    for error_class in type(error).__mro__:
        if error_class in _EXCEPTIONS:
            status, code = _EXCEPTIONS[error_class]
            return OpenAiError(status, str(error), code=code)
    return None


def _blamed_field(message: str) -> str | None:
    """The field that a message about a malformed request names, with its path."""
    path, missing = _PATH.search(message), _MISSING.search(message)
    steps = [path["path"] if path else "", missing["field"] if missing else ""]
    return ".".join(step for step in steps if step) or None


def failure(item: GenerationError | GenerationFailed | ImageTooLarge) -> OpenAiError:
    """What clients get for a generation that ended in `item`."""
    match item:
        case GenerationError(400, description, reason):
            return BadRequest(description, code=reason)
        case GenerationError(code, description):
            return OpenAiError(code, description, code=_CODES.get(code))
        case GenerationFailed(kind, message):
            status = _FAILURE_STATUSES.get(kind, 400)
            return OpenAiError(status, message, code=_snake_case(kind.value))
        case ImageTooLarge(image_tokens, n_batch):
            message = f"an image needs {image_tokens} tokens; a batch holds {n_batch}"
            return BadRequest(message, code="image_too_large")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
