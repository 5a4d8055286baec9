"""The one door to the native library: its functions, statuses and strings.

Everything else in this package calls through here, so that the untyped cffi
module stays in one place.
"""

from __future__ import annotations

from typing import Any

from paddler.engine import errors
from paddler.engine._native import ffi, lib

__all__ = ["ffi", "lib"]

_ERRORS: dict[int, type[errors.EngineError]] = {
    lib.PDL_INVALID_ARGUMENT: errors.InvalidArgument,
    lib.PDL_NOT_FOUND: errors.ModelFileNotFound,
    lib.PDL_IO_ERROR: errors.ModelFileUnreadable,
    lib.PDL_BAD_MODEL_FILE: errors.BadModelFile,
    lib.PDL_UNSUPPORTED: errors.Unsupported,
    lib.PDL_OUT_OF_MEMORY: errors.OutOfMemory,
    lib.PDL_CANCELLED: errors.LoadCancelled,
    lib.PDL_PROMPT_TOO_LONG: errors.PromptTooLong,
    lib.PDL_BAD_GRAMMAR: errors.BadGrammar,
    lib.PDL_GRAMMAR_DEAD_END: errors.GrammarDeadEnd,
    lib.PDL_CLOSED: errors.EngineClosed,
    lib.PDL_DECODE_FAILED: errors.DecodeFailed,
    lib.PDL_BAD_TEMPLATE: errors.BadTemplate,
    lib.PDL_BAD_SCHEMA: errors.BadSchema,
    lib.PDL_UNPARSABLE: errors.UnparsableOutput,
    lib.PDL_BAD_IMAGE: errors.BadImage,
    lib.PDL_INTERNAL: errors.InternalError,
}


def error_for_status(status: int, message: str) -> errors.EngineError:
    """The exception for a pdl_status that is not PDL_OK."""
    return _ERRORS.get(status, errors.InternalError)(message)


def new_error() -> Any:
    """A pdl_error for one call."""
    return ffi.new("pdl_error *")


def raise_for_status(status: int, error: Any) -> None:
    """Raises what a failed call left in `error`; does nothing for PDL_OK."""
    if status != lib.PDL_OK:
        message = ffi.string(error.message).decode("utf-8", "replace")
        raise error_for_status(status, message)


def take_string(pointer: Any) -> str:
    """The text behind a `char **` result, which is freed; `pointer` is that `char **`."""
    try:
        return ffi.string(pointer[0]).decode("utf-8")  # type: ignore[no-any-return]  # cffi
    finally:
        lib.pdl_string_free(pointer[0])
        pointer[0] = ffi.NULL
