"""What became of one choice: its items gathered, and how they read in the end."""

from __future__ import annotations

from collections.abc import Iterable

from paddler.balancer.requests.items import GenerationError, GenerationItem
from paddler.balancer.services.openai.errors import OpenAiError, failure
from paddler.messages.generation import (
    FinishReason,
    GenerationDone,
    GenerationFailed,
    ImageTooLarge,
    TokenClass,
    TokenEvent,
    TokenLogprobs,
    ToolCall,
    ToolCallDelta,
    ToolCallsParsed,
    Usage,
)

_LENGTH_REASONS = (FinishReason.MAX_TOKENS, FinishReason.CONTEXT_FULL)


class Outcome:
    """One choice, for as long as it is generated and afterwards.

    The text of tool calls is withheld: clients get the calls taken apart, or the
    text as content if it turns out to be none.

    Attributes:
        tool_calls: The calls as far as they are known.
        usage: Set once the choice has ended.
    """

    def __init__(self) -> None:
        self.tool_calls: list[WrittenCall] = []
        self.usage: Usage | None = None
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._tool_text: list[str] = []
        self._logprobs: list[TokenLogprobs] = []
        self._reason: FinishReason | None = None
        self._are_calls_whole = False

    @property
    def is_over(self) -> bool:
        """Nothing follows."""
        return self._reason is not None

    @property
    def is_cut(self) -> bool:
        """It ended because there was no room for more."""
        return self._reason in _LENGTH_REASONS and not self._are_calls_whole

    @property
    def finish_reason(self) -> str:
        """OpenAI's `finish_reason`."""
        if self.is_cut:
            return "length"
        # A stop string may have ended a call early.
        ended_itself = self._reason is FinishReason.END_OF_GENERATION
        if self.tool_calls and (self._are_calls_whole or ended_itself):
            return "tool_calls"
        return "stop"

    @property
    def content(self) -> str:
        """The answer's text so far."""
        return "".join(self._content)

    @property
    def reasoning(self) -> str:
        """What the model thought so far."""
        return "".join(self._reasoning)

    def add(self, items: Iterable[GenerationItem]) -> Additions:
        """Take what arrived together; what of it clients may see now.

        Raises:
            OpenAiError: The generation failed.
        """
        added = Additions()
        for item in items:
            if type(item) is TokenEvent:
                self._add_tokens(item, added)
            elif isinstance(item, ToolCallDelta):
                self._add_delta(item, added)
            elif isinstance(item, ToolCallsParsed):
                self._add_whole_calls(item.calls, added)
            elif isinstance(item, GenerationDone):
                self._reason = item.finish_reason
                self.usage = item.usage
                if not self.tool_calls:
                    # What looked like a tool call and is none.
                    added.content.extend(self._tool_text)
                self._tool_text.clear()
            elif isinstance(item, GenerationError | GenerationFailed | ImageTooLarge):
                raise failure(item)
        self._content.extend(added.content)
        self._reasoning.extend(added.reasoning)
        self._logprobs.extend(added.logprobs)
        return added

    def logprobs(self) -> list[TokenLogprobs]:
        """Those of the answer's text."""
        return self._logprobs

    def _add_delta(self, delta: ToolCallDelta, added: Additions) -> None:
        if delta.position > len(self.tool_calls):
            return
        if delta.position == len(self.tool_calls):
            self.tool_calls.append(WrittenCall(delta.id, delta.name))
        call = self.tool_calls[delta.position]
        # An agent that took over begins at the beginning.
        added.extend_call(delta.position, call.grow(delta.offset, delta.arguments))

    def _add_whole_calls(self, calls: list[ToolCall], added: Additions) -> None:
        for position, whole in enumerate(calls):
            if position == len(self.tool_calls):
                self.tool_calls.append(WrittenCall(whole.id, whole.name))
            call = self.tool_calls[position]
            if call.name != whole.name or not whole.arguments_json.startswith(call.arguments):
                message = "a tool call that was sent in part turned out to be another one"
                raise OpenAiError(500, message)
            added.extend_call(position, call.grow(0, whole.arguments_json))
        self._are_calls_whole = all(call.arguments_valid for call in calls)

    def _add_tokens(self, event: TokenEvent, added: Additions) -> None:
        match event.token_class:
            case TokenClass.REASONING:
                if event.text:
                    added.reasoning.append(event.text)
            case TokenClass.TOOL_CALL:
                if event.text:
                    self._tool_text.append(event.text)
            case _:
                if event.text:
                    added.content.append(event.text)
                added.logprobs.extend(event.logprobs)


class WrittenCall:
    """A tool call, as far as the model has written it."""

    def __init__(self, call_id: str, name: str) -> None:
        self.id = call_id
        self.name = name
        self._pieces: list[str] = []
        self._n_chars = 0

    @property
    def arguments(self) -> str:
        """JSON, once the call is whole."""
        return "".join(self._pieces)

    def grow(self, offset: int, arguments: str) -> str:
        """What of `arguments`, which begin at `offset`, is new."""
        new = arguments[self._n_chars - offset :] if offset <= self._n_chars else ""
        self._pieces.append(new)
        self._n_chars += len(new)
        return new


class Additions:
    """What arrived together: thoughts first, then the answer's text, then calls.

    Attributes:
        calls: New arguments by the call's position; maybe none for a new call.
    """

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.logprobs: list[TokenLogprobs] = []
        self.calls: dict[int, str] = {}

    def extend_call(self, position: int, arguments: str) -> None:
        """Add to the call's new arguments."""
        self.calls[position] = self.calls.get(position, "") + arguments
