"""Answers of the inference service: the public JSON contract, one object per line.

Tokens are many: `ndjson` puts the bytes around their text itself, and a test
holds it to these.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from paddler.messages.embeddings import Normalization
from paddler.messages.generation import Usage
from paddler.messages.one_of import OneOf
from paddler.messages.state import PoolingType


class ErrorDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What went wrong, with a status of HTTP."""

    code: int
    description: str


class RequestError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request that failed; nothing follows."""

    request_id: str
    error: ErrorDescription


class Timings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a generation's time went.

    `buffered_ms` is the wait for a slot; `ttft_ms`, from the request to its
    first token, is null if there was none. `tokens_per_second` is of decoding.
    """

    buffered_ms: float
    prefill_ms: float
    ttft_ms: float | None
    decode_ms: float
    tokens_per_second: float
    cached_prompt_tokens: int
    slot: int


class GenerationSummary(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The end of a generation; `timings` are there if they were asked for."""

    usage: Usage
    timings: Timings | UnsetType = UNSET


class ImageSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image that needs more tokens than a batch holds."""

    image_tokens: int
    n_batch: int


class ToolCallArguments(OneOf, frozen=True):
    """Arguments as the model wrote them, as JSON if they are."""

    ValidJson: msgspec.Raw | UnsetType = UNSET
    InvalidJson: str | UnsetType = UNSET


class ParsedToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call the model made."""

    id: str
    name: str
    arguments: ToolCallArguments


class UnparsedText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Text in a format of tool calls that the engine does not know."""

    text: str
    ffi_error_message: str


class GeneratedItem(OneOf, frozen=True):
    """An item of a generation: text of one class, tool calls, its end, or why it failed.

    Text is of one token or of several that waited together. Of the failures,
    the names are those of `GenerationFailure`; `ToolCall…Failed` and
    `UnrecognizedToolCallFormat` are none: `Done` follows.
    """

    ContentToken: str | UnsetType = UNSET
    ReasoningToken: str | UnsetType = UNSET
    ToolCallToken: str | UnsetType = UNSET
    UndeterminableToken: str | UnsetType = UNSET
    ToolCallParsed: list[ParsedToolCall] | UnsetType = UNSET
    ToolCallParseFailed: str | UnsetType = UNSET
    ToolCallValidationFailed: list[str] | UnsetType = UNSET
    UnrecognizedToolCallFormat: UnparsedText | UnsetType = UNSET
    Done: GenerationSummary | UnsetType = UNSET
    ImageExceedsBatchSize: ImageSize | UnsetType = UNSET
    ToolSchemaInvalid: str | UnsetType = UNSET
    ChatTemplateError: str | UnsetType = UNSET
    DetokenizationFailed: str | UnsetType = UNSET
    SamplerError: str | UnsetType = UNSET
    GrammarSyntaxError: str | UnsetType = UNSET
    GrammarInitializationFailed: str | UnsetType = UNSET
    GrammarIncompatibleWithThinking: str | UnsetType = UNSET
    GrammarRejectedModelOutput: str | UnsetType = UNSET
    ImageDecodingFailed: str | UnsetType = UNSET
    MultimodalNotSupported: str | UnsetType = UNSET
    TokenGenerationDisabled: str | UnsetType = UNSET


class EmbeddedVector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The [n_embd] embedding of one document, normalized and pooled as it says."""

    embedding: list[float]
    normalization_method: Normalization
    pooling_type: PoolingType
    source_document_id: str


class DocumentSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document that does not fit the embedding batch."""

    document_tokens: int
    n_batch: int
    source_document_id: str


class EmbeddedItem(OneOf, frozen=True):
    """What became of a document, or of some of them."""

    Embedding: EmbeddedVector | UnsetType = UNSET
    DocumentExceedsBatchSize: DocumentSize | UnsetType = UNSET
    Error: str | UnsetType = UNSET


class InferenceResult(OneOf, frozen=True):
    """An item of a generation or of an embedding batch, whose last is "Done"."""

    GeneratedToken: GeneratedItem | UnsetType = UNSET
    Embedding: Literal["Done"] | EmbeddedItem | UnsetType = UNSET


class InferenceResponse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item, the request it belongs to, and the name of the agent that made it."""

    generated_by: str | None
    request_id: str
    response: InferenceResult


class InferenceAnswer(OneOf, frozen=True):
    """One line."""

    Response: InferenceResponse | UnsetType = UNSET
    Error: RequestError | UnsetType = UNSET
