"""Log-probabilities in the shapes of chat, responses and completions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from paddler.messages.generation import Alternative, TokenLogprobs

MIN_LOGPROB = -9999.0
"""What OpenAI writes for a token that is all but impossible; JSON has no infinity."""


def content_logprobs(tokens: Iterable[TokenLogprobs]) -> list[dict[str, object]]:
    """`logprobs.content` of a chat choice, and `logprobs` of a response's text."""
    return [
        {
            **_entry(token.chosen),
            "top_logprobs": [_entry(alternative) for alternative in token.top],
        }
        for token in tokens
    ]


class CompletionLogprobs:
    """`logprobs` of completions, whose lists grow with the text.

    Args:
        offset: Characters in front of the generated text (an echoed prompt).
    """

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def encode(self, tokens: Sequence[TokenLogprobs]) -> dict[str, object]:
        """The lists for `tokens`, which follow those of the calls before."""
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(_text(token.chosen))
        return {
            "tokens": [_text(token.chosen) for token in tokens],
            "token_logprobs": [_logprob(token.chosen) for token in tokens],
            "top_logprobs": [
                {_text(alternative): _logprob(alternative) for alternative in token.top}
                for token in tokens
            ],
            "text_offset": offsets,
        }


def _entry(alternative: Alternative) -> dict[str, object]:
    return {
        "token": _text(alternative),
        "logprob": _logprob(alternative),
        "bytes": list(alternative.text),
    }


def _text(alternative: Alternative) -> str:
    return alternative.text.decode("utf-8", "replace")


def _logprob(alternative: Alternative) -> float:
    return max(alternative.logprob, MIN_LOGPROB)
