"""Prompts that are filled in: markers of the model around two texts."""

from __future__ import annotations

import pytest

from paddler.agent.prompts.infill import infill_tokens
from paddler.agent.request_errors import RequestEnded
from paddler.messages.generation import GenerationRefused, InfillPrompt

MARKERS = {"<|fim_prefix|>": 1001, "<|fim_suffix|>": 1002, "<|fim_middle|>": 1003}
BEGINNING = 1


class Tokenizer:
    """Characters are tokens; so are the markers of a model that has some."""

    def __init__(self, markers: dict[str, int]) -> None:
        self.markers = markers

    async def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        beginning = [BEGINNING] if add_special else []
        if parse_special and text in self.markers:
            return [*beginning, self.markers[text]]
        return [*beginning, *map(ord, text)]


async def test_markers_stand_before_prefix_suffix_and_middle() -> None:
    tokens = await infill_tokens(InfillPrompt("ab", "c"), Tokenizer(MARKERS).tokenize)
    assert tokens == [BEGINNING, 1001, ord("a"), ord("b"), 1002, ord("c"), 1003]


async def test_markers_within_the_texts_are_text() -> None:
    tokens = await infill_tokens(InfillPrompt("<|fim_middle|>", ""), Tokenizer(MARKERS).tokenize)
    assert tokens.count(1003) == 1


async def test_a_model_without_markers_refuses() -> None:
    with pytest.raises(RequestEnded) as ended:
        await infill_tokens(InfillPrompt("a", "b"), Tokenizer({}).tokenize)
    assert isinstance(ended.value.event, GenerationRefused)
    assert ended.value.event.code == 400
    assert ended.value.event.reason == "suffix_not_supported"
