"""What became of one choice: its items gathered, and how they read in the end."""

from __future__ import annotations

from collections.abc import Iterable

from paddler.balancer.generation.items import GenerationError, GenerationItem
from paddler.balancer.openai_service.errors import failure
from paddler.messages.generation import (
    FinishReason,
    GenerationDone,
    GenerationFailed,
    ImageTooLarge,
    TokenClass,
    TokenEvent,
    TokenLogprobs,
    ToolCall,
    ToolCallsParsed,
    Usage,
)

_LENGTH_REASONS = (FinishReason.MAX_TOKENS, FinishReason.CONTEXT_FULL)


class Outcome:
    """One choice, for as long as it is generated and afterwards.

    The text of tool calls is withheld: clients get the parsed calls, or the
    text as content if it turns out to be none.

    Attributes:
        tool_calls: The parsed calls.
        usage: Set once the choice has ended.
    """

    def __init__(self) -> None:
        self.tool_calls: list[ToolCall] = []
        self.usage: Usage | None = None
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._tool_text: list[str] = []
        self._logprobs: list[TokenLogprobs] = []
        self._reason: FinishReason | None = None

    @property
    def is_over(self) -> bool:
        """Nothing follows."""
        return self._reason is not None

    @property
    def is_cut(self) -> bool:
        """It ended because there was no room for more."""
        return self._reason in _LENGTH_REASONS

    @property
    def finish_reason(self) -> str:
        """OpenAI's `finish_reason`."""
        if self.tool_calls:
            return "tool_calls"
        return "length" if self.is_cut else "stop"

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
            elif isinstance(item, ToolCallsParsed):
                self.tool_calls.extend(item.calls)
                self._tool_text.clear()
            elif isinstance(item, GenerationDone):
                self._reason = item.finish_reason
                self.usage = item.usage
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


class Additions:
    """Texts that arrived together: first what was thought, then what was answered."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.logprobs: list[TokenLogprobs] = []
