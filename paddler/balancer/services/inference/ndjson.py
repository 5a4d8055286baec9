"""Generation events to public JSON, one object per item.

This is the balancer's hottest path: the part of an envelope that does not
change is encoded once per request, and consecutive tokens of one class that
wait together become one item.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from paddler.balancer.requests.items import GenerationError, GenerationItem, GenerationStart
from paddler.messages.answers import (
    ErrorDescription,
    GeneratedItem,
    GenerationSummary,
    ImageSize,
    InferenceAnswer,
    ParsedToolCall,
    RequestError,
    Timings,
    ToolCallArguments,
    UnparsedText,
)
from paddler.messages.generation import (
    GenerationDone,
    GenerationFailed,
    GenerationRefused,
    GenerationStarted,
    ImageTooLarge,
    TokenClass,
    TokenEvent,
    ToolCall,
    ToolCallDelta,
    ToolCallParseFailed,
    ToolCallsParsed,
    ToolCallValidationFailed,
    UnrecognizedToolCallFormat,
)

_encode = msgspec.json.Encoder().encode

_TOKEN_KEYS = {
    TokenClass.CONTENT: b"ContentToken",
    TokenClass.REASONING: b"ReasoningToken",
    TokenClass.TOOL_CALL: b"ToolCallToken",
    TokenClass.UNDETERMINABLE: b"UndeterminableToken",
}
_TOKEN_CLOSE = b"}}}}"
_RESULT_CLOSE = b"}}}"


def response_prefix(generated_by: str | None, request_id: str) -> bytes:
    """A `Response` envelope up to where the response begins; close it with `}}`."""
    return b'{"Response":{"generated_by":%b,"request_id":%b,"response":' % (
        _encode(generated_by),
        _encode(request_id),
    )


def error_envelope(request_id: str, code: int, description: str) -> bytes:
    """An `Error` envelope."""
    error = RequestError(request_id, ErrorDescription(code, description))
    return _encode(InferenceAnswer(Error=error))


class GenerationEncoder:
    """Encodes one generation's items.

    Args:
        request_id: The client's name for the request, or ours.
        start: Live: names the agent, also after another one took over.
        include_timings: Whether `Done` carries timings.
    """

    def __init__(self, request_id: str, start: GenerationStart, *, include_timings: bool) -> None:
        self._request_id = request_id
        self._start = start
        self._include_timings = include_timings
        self._name_agent()

    def encode(self, items: Iterable[GenerationItem]) -> list[bytes]:
        """The JSON objects for what arrived together, without line ends."""
        if self._start.agent_name != self._agent_name:
            self._name_agent()
        objects: list[bytes] = []
        texts: list[str] = []
        token_class = TokenClass.CONTENT
        for item in items:
            if type(item) is TokenEvent:
                if not item.text:
                    continue
                if item.token_class is not token_class:
                    if texts:
                        objects.append(self._token(token_class, texts))
                        texts = []
                    token_class = item.token_class
                texts.append(item.text)
                continue
            if texts:
                objects.append(self._token(token_class, texts))
                texts = []
            encoded = self._encode_other(item)
            if encoded is not None:
                objects.append(encoded)
        if texts:
            objects.append(self._token(token_class, texts))
        return objects

    def _name_agent(self) -> None:
        self._agent_name = self._start.agent_name
        self._result_prefix = (
            response_prefix(self._agent_name, self._request_id) + b'{"GeneratedToken":'
        )
        self._token_prefixes = {
            token_class: b'%b{"%b":' % (self._result_prefix, key)
            for token_class, key in _TOKEN_KEYS.items()
        }

    def _token(self, token_class: TokenClass, texts: Sequence[str]) -> bytes:
        text = texts[0] if len(texts) == 1 else "".join(texts)
        return self._token_prefixes[token_class] + _encode(text) + _TOKEN_CLOSE

    def _item(self, item: GeneratedItem) -> bytes:
        return self._result_prefix + _encode(item) + _RESULT_CLOSE

    def _encode_other(self, item: GenerationItem) -> bytes | None:
        match item:
            case GenerationStarted() | TokenEvent() | ToolCallDelta():
                return None
            case GenerationDone():
                return self._item(GeneratedItem(Done=self._summary(item)))
            case GenerationError(code, description):
                return error_envelope(self._request_id, code, description)
            case GenerationRefused(code, message):
                return error_envelope(self._request_id, code, message)
            case GenerationFailed(failure, message):
                return self._item(msgspec.convert({failure.value: message}, GeneratedItem))
            case ImageTooLarge(image_tokens, n_batch):
                size = ImageSize(image_tokens, n_batch)
                return self._item(GeneratedItem(ImageExceedsBatchSize=size))
            case ToolCallsParsed():
                return self._item(GeneratedItem(ToolCallParsed=_tool_calls(item)))
            case ToolCallParseFailed(message):
                return self._item(GeneratedItem(ToolCallParseFailed=message))
            case ToolCallValidationFailed(messages):
                return self._item(GeneratedItem(ToolCallValidationFailed=messages))
            case UnrecognizedToolCallFormat(text, message):
                unparsed = UnparsedText(text, message)
                return self._item(GeneratedItem(UnrecognizedToolCallFormat=unparsed))

    def _summary(self, done: GenerationDone) -> GenerationSummary:
        usage, timings = done.usage, done.timings
        if not self._include_timings:
            return GenerationSummary(usage)
        n_generated = (
            usage.content_tokens
            + usage.reasoning_tokens
            + usage.tool_call_tokens
            + usage.undeterminable_tokens
        )
        decode_ms = timings.decode_ms
        return GenerationSummary(
            usage,
            Timings(
                buffered_ms=self._start.buffered_ms,
                prefill_ms=timings.prefill_ms,
                ttft_ms=self._start.ttft_ms,
                decode_ms=decode_ms,
                tokens_per_second=n_generated / decode_ms * 1000.0 if decode_ms > 0 else 0.0,
                cached_prompt_tokens=usage.cached_prompt_tokens,
                slot=timings.slot,
            ),
        )


def _tool_calls(parsed: ToolCallsParsed) -> list[ParsedToolCall]:
    return [ParsedToolCall(call.id, call.name, _arguments(call)) for call in parsed.calls]


def _arguments(call: ToolCall) -> ToolCallArguments:
    if not call.arguments_valid:
        return ToolCallArguments(InvalidJson=call.arguments_json)
    return ToolCallArguments(ValidJson=msgspec.Raw(_one_line(call.arguments_json)))


def _one_line(json_text: str) -> bytes:
    """`json_text` without the line ends that would cut an NDJSON item in two."""
    if "\n" not in json_text and "\r" not in json_text:
        return json_text.encode()
    return json.dumps(json.loads(json_text), separators=(",", ":"), ensure_ascii=False).encode()
