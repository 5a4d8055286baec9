"""Grammars: what is said of broken ones, and when a lazy one constrains."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from paddler.engine import errors
from paddler.engine.model import Model, open_model
from paddler.engine.requests import (
    ClassMarker,
    EngineRequest,
    EngineSampling,
    GrammarConstraint,
    TokenClass,
    Tokens,
)
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import SlotEngine, open_slots
from tests.support.tiny_models import tiny_llama

TIMEOUT_S = 60.0

CALL = GrammarConstraint(
    text='root ::= "CALL" "(" [0-9]{3} ")"', lazy=True, trigger_patterns=["CALL"]
)
REASONING_ENDS = ClassMarker("</t>", TokenClass.REASONING, TokenClass.CONTENT, emit=False)
CALL_ENDS_REASONING = ClassMarker("CALL", TokenClass.REASONING, TokenClass.TOOL_CALL, emit=True)


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("grammars") / "model.gguf")


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[Model, SlotEngine]]:
    settings = EngineSettings(
        n_slots=1, context_tokens=256, k_cache_dtype="F32", v_cache_dtype="F32"
    )
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model, open_slots(model, settings) as slots:
            yield model, slots


def tokens(events: Sequence[object]) -> Iterator[Tokens]:
    return (event for event in events if isinstance(event, Tokens))


async def continuation(
    path: Path, so_far: str, markers: Sequence[ClassMarker], *, grammar: GrammarConstraint = CALL
) -> str:
    """What a model writes that has written `so_far`, all of it reasoning until a marker."""
    async with opened(path) as (model, slots):
        replayed = await model.tokenize(so_far, add_special=False)
        request = EngineRequest(
            prompt_tokens=await model.tokenize("x"),
            max_tokens=len(replayed) + 12,
            sampling=EngineSampling(temperature=0.0),
            grammar=grammar,
            initial_class=TokenClass.REASONING,
            markers=markers,
            replay_tokens=replayed,
        )
        events: list[object] = []
        async with slots.start(request) as generation, aclosing(generation.batches()) as batches:
            async for batch in batches:
                events.extend(batch)
    return "".join(each.text for each in tokens(events))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('root = "a"', 'line 1, column 6: expecting ::=, not `= "a"`'),
        ('root ::= "a"\nb ::= "x\\q"', 'line 2, column 9: unknown escape: `\\q"`'),
        ('root ::= ("a" "b"', "line 1, column 18: expecting ')', not the end of the grammar"),
        ('# a list\n\nroot ::= "a" }', "line 3, column 14: expecting newline or end, not `}`"),
        (f"root ::= {'}' * 99}", f"line 1, column 10: expecting newline or end, not `{'}' * 32}…`"),
        ('root ::= "a"\nb ::= d', 'the rule in line 2 names a rule "d" that is not defined'),
        ('root ::= "a"{2001}', "the rule in line 1: number of repetitions exceeds sane defaults"),
        ('root ::= "a"{99999999999999999999}', "the rule in line 1: a number is too large"),
        ('root ::= "a', "the rule in line 1: unexpected end of input"),
        ('root ::= root "a" | "b"', 'rule "root" begins with itself (left recursion)'),
        ('root ::= b\nb ::= c | "x"\nc ::= b "y"', 'rule "b" begins with itself (left recursion)'),
        ('a ::= "b"', 'the grammar has no rule "root"'),
        ("# nothing\n", "the grammar has no rules"),
        ("", "the grammar has no rules"),
        ('root ::= "a"\0"b"', "a grammar cannot contain the character U+0000"),
    ],
)
async def test_a_broken_grammar_is_told_what_is_wrong_and_where(
    tiny_path: Path, capfd: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    async with opened(tiny_path) as (model, _):
        with pytest.raises(errors.BadGrammar) as refused:
            model.check_grammar(text, "root")
    assert str(refused.value).startswith(complaint)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"r{i} ::= | r{i + 1} r{i + 1}\n" for i in range(60)) + 'r60 ::= "a"',
        "".join(f"r{i} ::= r{i + 1}\n" for i in range(100_000)) + 'r100000 ::= "a"',
    ],
    ids=["exponential", "deep"],
)
async def test_a_grammar_that_would_keep_or_crash_the_agent_is_refused(
    tiny_path: Path, text: str
) -> None:
    async with opened(tiny_path) as (model, _):
        with pytest.raises(errors.BadGrammar, match="begin with"):
            model.check_grammar(text, "r0")


@pytest.mark.parametrize(
    "text",
    [
        'root ::= (item ",")* item\nitem ::= [a-z]+ | "(" root ")"',
        "\r\n  # a comment\r\nroot ::= \"a\" |\r\n  'b'?\r\n".replace("'b'", '"b"'),
        'root ::= "é" [^a-z\\n]{2,4} .',
    ],
)
async def test_a_grammar_in_order_is_taken(tiny_path: Path, text: str) -> None:
    async with opened(tiny_path) as (model, _):
        model.check_grammar(text, "root")


async def test_a_lazy_grammar_does_not_see_what_is_only_thought(tiny_path: Path) -> None:
    free = await continuation(tiny_path, "no CALL", [REASONING_ENDS], grammar=never())
    assert await continuation(tiny_path, "no CALL", [REASONING_ENDS]) == free


async def test_a_lazy_grammar_constrains_once_the_reasoning_is_over(tiny_path: Path) -> None:
    text = await continuation(tiny_path, "no CALL</t>now CALL", [REASONING_ENDS])
    assert re.fullmatch(r" no CALLnow CALL\(\d{3}\)", text)


async def test_a_trigger_that_itself_ends_the_reasoning_counts(tiny_path: Path) -> None:
    text = await continuation(tiny_path, "no CAL, CALL", [CALL_ENDS_REASONING])
    assert re.fullmatch(r" no CAL, CALL\(\d{3}\)", text)


def never() -> GrammarConstraint:
    """A lazy grammar whose trigger never comes."""
    return GrammarConstraint(text=CALL.text, lazy=True, trigger_patterns=["\x01NEVER"])
