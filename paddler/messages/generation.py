"""What the balancer asks of an agent, and the events that come back.

Every service translates its requests into a `GenerationOrder`; nothing past
that point knows which service a request came from.
"""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

from paddler.messages.conversation import Message, ToolDefinition
from paddler.messages.grammar import Grammar
from paddler.messages.sampling import Sampling


class RawPrompt(msgspec.Struct, frozen=True, tag="raw"):
    """Text that is tokenized as it is: BOS as the tokenizer says, special tokens parsed."""

    text: str


class TokenPrompt(msgspec.Struct, frozen=True, tag="tokens"):
    """Token ids that go to the model unchanged."""

    token_ids: list[int]


class InfillPrompt(msgspec.Struct, frozen=True, tag="infill"):
    """Text to be generated between two others, by a model that was trained for it."""

    prefix: str
    suffix: str


class ToolChoice(enum.StrEnum):
    """Whether the model may, must or must not call a tool."""

    AUTO = "auto"
    REQUIRED = "required"
    NONE = "none"


class ConversationPrompt(msgspec.Struct, frozen=True, tag="conversation", omit_defaults=True):
    """Messages for the chat template.

    With `tool_choice` REQUIRED, output is constrained to tool calls; a named
    function is expressed by passing that one tool. `template_arguments` are
    extra variables of the template, each a JSON text.
    """

    messages: list[Message]
    add_generation_prompt: bool = True
    enable_thinking: bool = False
    tools: list[ToolDefinition] = []
    tool_choice: ToolChoice = ToolChoice.AUTO
    parallel_tool_calls: bool = False
    template_arguments: dict[str, str] = {}


Prompt = RawPrompt | TokenPrompt | InfillPrompt | ConversationPrompt


class GenerationOrder(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One generation, independent of the service that accepted it.

    `max_tokens` None means as many as fit the slot's context. `n_logprobs`
    None is off; otherwise each token carries its own log-probability and that
    many alternatives. `parse_tool_calls` asks for one `ToolCallsParsed` (or a
    failure) before `GenerationDone`; without `validate_tool_calls` the calls are
    reported as the model made them, whether or not they fit the tools' schemas.
    `stream_tool_calls`, on top of `parse_tool_calls`, asks for `ToolCallDelta`s
    while the model writes.
    """

    prompt: Prompt
    max_tokens: int | None = None
    grammar: Grammar | None = None
    sampling: Sampling = Sampling()
    stop: list[str] = []
    parse_tool_calls: bool = False
    validate_tool_calls: bool = True
    stream_tool_calls: bool = False
    n_logprobs: int | None = None
    ignore_eos: bool = False
    conversation_id: str | None = None


class TokenClass(enum.IntEnum):
    """What a generated token belongs to."""

    CONTENT = 0
    REASONING = 1
    TOOL_CALL = 2
    UNDETERMINABLE = 3


class Alternative(msgspec.Struct, frozen=True, array_like=True):
    """A candidate for one position: its text as bytes, and its log-probability."""

    token_id: int
    text: bytes
    logprob: float


class TokenLogprobs(msgspec.Struct, frozen=True, array_like=True):
    """The chosen token and the likeliest candidates at its position."""

    chosen: Alternative
    top: list[Alternative]


class TokenEvent(msgspec.Struct, frozen=True, tag=0, array_like=True):
    """Generated tokens and the text they complete.

    `text` is whole UTF-8 and may be empty: a code point or a possible stop
    string is held back until it is decided. `token_ids` are the tokens
    generated since the request's last event, so that the balancer can
    continue the generation elsewhere.
    """

    token_class: TokenClass
    text: str
    token_ids: list[int]
    logprobs: list[TokenLogprobs] = []


class FinishReason(enum.StrEnum):
    """Why a generation ended."""

    END_OF_GENERATION = "end_of_generation"
    STOP_STRING = "stop_string"
    MAX_TOKENS = "max_tokens"
    CONTEXT_FULL = "context_full"


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens counted by kind; the public JSON has exactly these fields."""

    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    input_image_tokens: int = 0
    input_audio_tokens: int = 0
    content_tokens: int = 0
    reasoning_tokens: int = 0
    tool_call_tokens: int = 0
    undeterminable_tokens: int = 0


class EngineTimings(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds as the engine measured them, and the slot that served."""

    queued_ms: float
    prefill_ms: float
    decode_ms: float
    slot: int


class GenerationDone(msgspec.Struct, frozen=True, tag=1, array_like=True):
    """The generation ended as it should."""

    finish_reason: FinishReason
    usage: Usage
    timings: EngineTimings


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call the model made.

    `arguments_json` is the text as parsed; `arguments_valid` says whether it
    is JSON at all.
    """

    id: str
    name: str
    arguments_json: str
    arguments_valid: bool


class ToolCallDelta(msgspec.Struct, frozen=True, tag=10, array_like=True):
    """A piece of a tool call that the model is writing.

    `position` counts the output's calls. `arguments` stand at the character
    `offset` of the call's arguments. An agent that takes a generation over
    begins at 0 again, with an id of its own: the first id that was told counts.
    """

    position: int
    id: str
    name: str
    offset: int
    arguments: str


class ToolCallsParsed(msgspec.Struct, frozen=True, tag=2, array_like=True):
    """The tool calls of the whole output."""

    calls: list[ToolCall]


class ToolCallParseFailed(msgspec.Struct, frozen=True, tag=3, array_like=True):
    """The output looks like a tool call but does not parse."""

    message: str


class ToolCallValidationFailed(msgspec.Struct, frozen=True, tag=4, array_like=True):
    """Tool calls whose arguments do not fit the tools' schemas."""

    messages: list[str]


class UnrecognizedToolCallFormat(msgspec.Struct, frozen=True, tag=5, array_like=True):
    """The template's tool call format is not known to the engine."""

    text: str
    message: str


class GenerationFailure(enum.StrEnum):
    """Failures that end a generation; the values are the contract's keys."""

    TOOL_SCHEMA_INVALID = "ToolSchemaInvalid"
    CHAT_TEMPLATE_ERROR = "ChatTemplateError"
    DETOKENIZATION_FAILED = "DetokenizationFailed"
    SAMPLER_ERROR = "SamplerError"
    GRAMMAR_SYNTAX_ERROR = "GrammarSyntaxError"
    GRAMMAR_INITIALIZATION_FAILED = "GrammarInitializationFailed"
    GRAMMAR_INCOMPATIBLE_WITH_THINKING = "GrammarIncompatibleWithThinking"
    GRAMMAR_REJECTED_MODEL_OUTPUT = "GrammarRejectedModelOutput"
    IMAGE_DECODING_FAILED = "ImageDecodingFailed"
    MULTIMODAL_NOT_SUPPORTED = "MultimodalNotSupported"
    TOKEN_GENERATION_DISABLED = "TokenGenerationDisabled"


class GenerationFailed(msgspec.Struct, frozen=True, tag=6, array_like=True):
    """The generation ended in one of the contract's failures."""

    failure: GenerationFailure
    message: str


class ImageTooLarge(msgspec.Struct, frozen=True, tag=7, array_like=True):
    """An image needs more tokens than a batch holds."""

    image_tokens: int
    n_batch: int


class GenerationRefused(msgspec.Struct, frozen=True, tag=8, array_like=True):
    """The request cannot be served; becomes an `Error` envelope with `code`.

    `reason` is a short name for why, where programs may act on it.
    """

    code: int
    message: str
    reason: str | None = None


CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
"""The `reason` of prompts that do not fit a slot's context."""


CachedIn = Literal["none", "slot", "host", "shared"]
"""Where the reused part of a prompt was: in its slot, in host memory, in another slot."""


class GenerationStarted(msgspec.Struct, frozen=True, tag=9, array_like=True):
    """A slot took the request and its prompt is known; always the first event."""

    slot: int
    prompt_tokens: int
    cached_prompt_tokens: int
    cached_in: CachedIn = "none"


GenerationEvent = (
    GenerationStarted
    | TokenEvent
    | ToolCallDelta
    | ToolCallsParsed
    | ToolCallParseFailed
    | ToolCallValidationFailed
    | UnrecognizedToolCallFormat
    | GenerationDone
    | GenerationFailed
    | ImageTooLarge
    | GenerationRefused
)

TERMINAL_EVENTS = (GenerationDone, GenerationFailed, ImageTooLarge, GenerationRefused)
"""Event types after which a generation sends nothing more."""
