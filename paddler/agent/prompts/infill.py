"""Prompts that a model fills in between: a prefix, a suffix, and markers around them.

Models that were trained for it have three tokens of their own for this. They
are known by their text, as llama.cpp knows them; the order prefix, suffix,
middle is the one that all models with these markers were trained on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from paddler.agent.request_errors import RequestEnded
from paddler.messages.generation import GenerationRefused, InfillPrompt

__all__ = ["infill_tokens"]

MARKERS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # noqa: RUF001 - DeepSeek's
)
"""What stands before the prefix, before the suffix and before the middle, by family."""


class Tokenize(Protocol):
    """`Engine.tokenize`."""

    def __call__(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> Awaitable[list[int]]:
        """Token ids of `text`."""
        ...


async def infill_tokens(prompt: InfillPrompt, tokenize: Tokenize) -> list[int]:
    """The prompt's tokens; the texts' own special tokens are not parsed.

    Raises:
        RequestEnded: The model has no markers.
    """
    markers = await _markers(tokenize)
    if markers is None:
        message = "`suffix` is not supported: the model has no tokens for text that is filled in"
        raise RequestEnded(GenerationRefused(400, message, "suffix_not_supported"))
    before_prefix, before_suffix, before_middle = markers
    prefix = await tokenize(prompt.prefix, add_special=False, parse_special=False)
    suffix = await tokenize(prompt.suffix, add_special=False, parse_special=False)
    beginning = await _beginning(tokenize)
    return [*beginning, before_prefix, *prefix, before_suffix, *suffix, before_middle]


async def _markers(tokenize: Tokenize) -> Sequence[int] | None:
    for family in MARKERS:
        tokens = [await tokenize(marker, add_special=False) for marker in family]
        if all(len(each) == 1 for each in tokens):
            return [each[0] for each in tokens]
    return None


async def _beginning(tokenize: Tokenize) -> list[int]:
    """What the tokenizer puts in front of every prompt."""
    plain = await tokenize("a", add_special=False)
    whole = await tokenize("a", add_special=True)
    for n_before in range(len(whole)):
        if whole[n_before : n_before + len(plain)] == plain:
            return whole[:n_before]
    return []
