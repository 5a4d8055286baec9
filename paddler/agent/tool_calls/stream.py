"""The output of one generation as the model writes it, and the tool calls in it so far.

Taking the output apart is the chat template's business, and begins at its first
character each time. Done for every token, that would take time that grows with
the square of the length: so it pauses after each time for as long as keeps it
within a small share of the clock. Short calls go out token by token, long ones
in larger pieces; what is left out comes with the whole calls at the end.

Pure: nothing here waits, and `deltas` may run in a thread.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

from paddler.agent.backend.protocol import RenderedConversation
from paddler.engine.requests import TokenClass, Tokens
from paddler.engine.tool_call_ids import new_tool_call_id
from paddler.messages.conversation import RequestedToolCall
from paddler.messages.generation import ToolCallDelta

__all__ = ["ToolCallStream"]

PAUSE_FACTOR = 24
"""Pause between two parsings, in times that the first of them took: 4 % of one core."""

_AFTER_LITERAL = frozenset("{}[],: \t\r\n")


class ToolCallStream:
    """Collects an output and tells the tool calls in it piece by piece.

    Args:
        rendered: Knows the format the template taught the model.
        clock: In seconds.
        new_id: Makes ids for calls whose format gives them none, or none yet.
    """

    def __init__(
        self,
        rendered: RenderedConversation,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str] = new_tool_call_id,
    ) -> None:
        self._rendered = rendered
        self._clock = clock
        self._new_id = new_id
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._texts: list[str] = []
        self._written: list[_WrittenCall] = []
        self._has_begun = False
        self._has_grown = False
        self._next_at = 0.0

    def add(self, tokens: Tokens) -> None:
        """Take what the model wrote."""
        if tokens.raw_text:
            self._texts.append(self._decoder.decode(tokens.raw_text))
            self._has_grown = True
        if tokens.token_class is TokenClass.TOOL_CALL:
            self._has_begun = True

    @property
    def output(self) -> str:
        """What the model wrote, up to the last whole character."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    @property
    def is_due(self) -> bool:
        """Whether a tool call has begun, there is more of it, and the pause is over."""
        return self._has_begun and self._has_grown and self._clock() >= self._next_at

    def deltas(self) -> list[ToolCallDelta]:
        """What the calls have grown by; a call is told once its arguments begin."""
        begun_at = self._clock()
        self._has_grown = False
        grown = []
        for position, call in enumerate(self._rendered.tool_calls_so_far(self.output)):
            if position == len(self._written):
                if not (call.name and call.arguments):
                    break
                self._written.append(_WrittenCall(call.id or self._new_id()))
            delta = self._written[position].grow(position, call)
            if delta is not None:
                grown.append(delta)
        ended_at = self._clock()
        self._next_at = ended_at + PAUSE_FACTOR * (ended_at - begun_at)
        return grown


class _WrittenCall:
    """What was told of one call, and where the reading of its arguments stands."""

    def __init__(self, call_id: str) -> None:
        self._id = call_id
        self._told = ""
        self._is_announced = False
        self._in_string = False
        self._is_escaped = False

    def grow(self, position: int, call: RequestedToolCall) -> ToolCallDelta | None:
        """The settled text that is new; none if the arguments changed their beginning."""
        if not call.arguments.startswith(self._told):
            return None
        offset = len(self._told)
        end = self._settled_end(call.arguments)
        if end == offset and self._is_announced:
            return None
        self._is_announced = True
        self._told = call.arguments[:end]
        return ToolCallDelta(position, self._id, call.name, offset, call.arguments[offset:end])

    def _settled_end(self, arguments: str) -> int:
        """Where the part ends that stays as it is: in front of an unfinished literal."""
        end = len(self._told)
        for index in range(end, len(arguments)):
            character = arguments[index]
            if self._in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif character == "\\":
                    self._is_escaped = True
                elif character == '"':
                    self._in_string = False
                end = index + 1
            elif character == '"':
                self._in_string = True
                end = index + 1
            elif character in _AFTER_LITERAL:
                end = index + 1
        return end
