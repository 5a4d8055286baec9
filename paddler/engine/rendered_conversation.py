"""A rendered conversation, and what the model's answer to it says.

Reads outputs, whole or as far as they are written, in the format that the chat
template taught the model; llama.cpp knows it. Does not validate arguments
against a tool's schema.

Everything here computes without waiting, in time that grows with the output's
length. Any thread may call.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from paddler.engine.errors import UnparsableOutput
from paddler.engine.library import ffi, lib, new_error, raise_for_status, take_string
from paddler.engine.requests import ClassMarker, GrammarConstraint, TokenClass
from paddler.engine.tool_call_ids import new_tool_call_id
from paddler.messages.conversation import RequestedToolCall
from paddler.messages.generation import (
    ToolCall,
    ToolCallParseFailed,
    ToolCallsParsed,
    UnrecognizedToolCallFormat,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ToolCallOutcome = ToolCallsParsed | ToolCallParseFailed | UnrecognizedToolCallFormat


class _ParsedCall(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str


class _Parsed(msgspec.Struct, frozen=True):
    """What pdl_chat_parse returns."""

    content: str
    reasoning_content: str
    tool_calls: list[_ParsedCall]


class OutputParser:
    """Reads outputs in the format of one rendering; loaded when it is first needed.

    Loading takes milliseconds, more with many tools; parsing 100 kB about five.
    """

    def __init__(self, description: str) -> None:
        self._description = description
        self._handle: Any = None

    def parse(self, output: str, *, is_partial: bool) -> _Parsed:
        """See `RenderedConversation.parse`."""
        if self._handle is None:
            self._handle = self._load()
        raw = output.encode()
        message, error = ffi.new("char **"), new_error()
        status = lib.pdl_chat_parse(self._handle, raw, len(raw), is_partial, message, error)
        raise_for_status(status, error)
        return msgspec.json.decode(take_string(message), type=_Parsed)

    def _load(self) -> Any:
        parser, error = ffi.new("pdl_chat_parser **"), new_error()
        status = lib.pdl_chat_parser_open(self._description.encode(), parser, error)
        raise_for_status(status, error)
        return ffi.gc(parser[0], lib.pdl_chat_parser_free)


@dataclasses.dataclass(frozen=True, slots=True)
class ParsedMessage:
    """A whole output, taken apart; ids of tool calls may be empty."""

    content: str
    reasoning: str
    tool_calls: list[RequestedToolCall]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RenderedConversation:
    """A prompt, and how the model's answer to it is constrained and read.

    `text` is to be tokenized with special tokens added and parsed (what the
    tokenizer adds is left out of it). `message_starts` are the character
    offsets into it where a message of the user begins. `markers` and
    `initial_class` classify the output; where tools were given whose calls
    cannot be told from content, that is UNDETERMINABLE.
    """

    text: str
    grammar: GrammarConstraint | None
    preserved_tokens: list[int]
    stops: list[str]
    markers: list[ClassMarker]
    initial_class: TokenClass
    supports_thinking: bool
    message_starts: list[int]
    tool_calls_recognizable: bool
    parser: OutputParser = dataclasses.field(repr=False)

    def parse(self, output: str, *, is_partial: bool = False) -> ParsedMessage:
        """Takes the output apart, markers and special tokens included in it.

        Of an output that is not written to its end (`is_partial`) the last call may
        lack a part of its name and of its arguments.

        Raises:
            UnparsableOutput: the output does not fit the template's format.
        """
        parsed = self.parser.parse(output, is_partial=is_partial)
        return ParsedMessage(
            content=parsed.content,
            reasoning=parsed.reasoning_content,
            tool_calls=[
                RequestedToolCall(
                    id=call.id,
                    name=call.name,
                    arguments=call.arguments or ("" if is_partial else "{}"),
                )
                for call in parsed.tool_calls
            ],
        )

    def classify(self, output: str) -> list[tuple[TokenClass, str]]:
        """Splits a whole output into segments, as the engine does while it generates."""
        raw = output.encode()
        description = msgspec.json.encode(
            {
                "initial_class": self.initial_class,
                "markers": [
                    {
                        "text": marker.text,
                        "when": -1 if marker.when is None else marker.when,
                        "becomes": marker.becomes,
                        "emit": marker.emit,
                    }
                    for marker in self.markers
                ],
            }
        )
        segments, error = ffi.new("char **"), new_error()
        status = lib.pdl_chat_classify(description, raw, len(raw), segments, error)
        raise_for_status(status, error)
        return msgspec.json.decode(take_string(segments), type=list[tuple[TokenClass, str]])

    def tool_calls_so_far(self, output: str) -> list[RequestedToolCall]:
        """The tool calls in the beginning of an output, the last one maybe unfinished.

        Arguments are text that grows with the output, but for literals (`true`, `null`)
        whose spelling is made JSON's once they are whole.
        """
        if not self.tool_calls_recognizable:
            return []
        try:
            return self.parse(output, is_partial=True).tool_calls
        except UnparsableOutput:
            return []

    def parse_tool_calls(
        self, output: str, *, new_id: Callable[[], str] = new_tool_call_id
    ) -> ToolCallOutcome:
        """The tool calls of the whole output, as the event that reports them.

        An output without any gives `ToolCallsParsed` with no calls. Calls that
        the format gives no id get one from `new_id`.
        """
        if not self.tool_calls_recognizable:
            return UnrecognizedToolCallFormat(
                text=output, message="the chat template has no tool call format that is known"
            )
        announced = any(kind is TokenClass.TOOL_CALL for kind, _ in self.classify(output))
        try:
            calls = self.parse(output).tool_calls
        except UnparsableOutput as error:
            # Prose may break a parser too, above all one that waits for a brace.
            return ToolCallParseFailed(str(error)) if announced else ToolCallsParsed([])
        if announced and not calls:
            return ToolCallParseFailed("the output begins a tool call that does not parse")
        return ToolCallsParsed(
            calls=[
                ToolCall(
                    id=call.id or new_id(),
                    name=call.name,
                    arguments_json=call.arguments,
                    arguments_valid=_is_json(call.arguments),
                )
                for call in calls
            ]
        )


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
