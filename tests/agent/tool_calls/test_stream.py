"""When the calls of an unfinished output are told, and what of them."""

from __future__ import annotations

import json
from collections.abc import Callable

from typing_extensions import override

from paddler.agent.tool_calls.stream import PAUSE_FACTOR, ToolCallStream
from paddler.engine.requests import TokenClass, Tokens
from paddler.messages.conversation import RequestedToolCall
from paddler.messages.generation import ToolCallDelta
from tests.support.scripted_engine import ScriptedConversation

BEGINNING = '[{"name": "f", "arguments": '


class Clock:
    """Moves on by `parse_s` whenever an output is taken apart."""

    def __init__(self, parse_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.parse_s = parse_s

    def __call__(self) -> float:
        return self.now_s


class SlowConversation(ScriptedConversation):
    clock: Clock
    n_parsed = 0

    @override
    def tool_calls_so_far(self, output: str) -> list[RequestedToolCall]:
        type(self).n_parsed += 1
        self.clock.now_s += self.clock.parse_s
        return super().tool_calls_so_far(output)


class Rewriting(ScriptedConversation):
    """Reads Python's literals and writes JSON's, as some formats need it."""

    @override
    def tool_calls_so_far(self, output: str) -> list[RequestedToolCall]:
        return [
            RequestedToolCall(
                id="", name=call.name, arguments=call.arguments.replace("True", "true")
            )
            for call in super().tool_calls_so_far(output)
        ]


def conversation(kind: type[ScriptedConversation] = ScriptedConversation) -> ScriptedConversation:
    return kind("", [], None)


def stream_of(
    rendered: ScriptedConversation, clock: Callable[[], float] | None = None
) -> ToolCallStream:
    return ToolCallStream(rendered, clock=clock or Clock(), new_id=lambda: "id")


def raw(text: str | bytes, token_class: TokenClass = TokenClass.TOOL_CALL) -> Tokens:
    return Tokens([1], token_class, "", [], text.encode() if isinstance(text, str) else text)


def told(stream: ToolCallStream, *texts: str | bytes) -> list[ToolCallDelta]:
    deltas = []
    for text in texts:
        stream.add(raw(text))
        if stream.is_due:
            deltas += stream.deltas()
    return deltas


def test_a_call_is_told_once_its_arguments_begin() -> None:
    stream = stream_of(conversation())
    assert told(stream, BEGINNING) == []
    assert told(stream, "{") == [ToolCallDelta(0, "id", "f", 0, "{")]
    assert told(stream, '"ci') == [ToolCallDelta(0, "id", "f", 1, '"ci')]
    assert told(stream, '": "B"}') == [ToolCallDelta(0, "id", "f", 4, '": "B"}')]


def test_calls_follow_each_other() -> None:
    deltas = told(stream_of(conversation()), BEGINNING + "{}}, " + BEGINNING[1:] + "{")
    assert deltas == [ToolCallDelta(0, "id", "f", 0, "{}"), ToolCallDelta(1, "id", "f", 0, "{")]


def test_a_literal_is_told_once_it_is_whole() -> None:
    deltas = told(
        stream_of(conversation(Rewriting)), BEGINNING, '{"a": T', "ru", "e", ', "b": 1', "2}"
    )
    assert [delta.arguments for delta in deltas] == ['{"a": ', 'true, "b": ', "12}"]


def test_letters_in_strings_are_told_at_once_whatever_stands_around_them() -> None:
    deltas = told(stream_of(conversation()), BEGINNING, r'{"\"a', "b", "\\", '"', "c", '":', "1")
    assert [delta.arguments for delta in deltas] == [r'{"\"a', "b", "\\", '"', "c", '":']


def test_text_in_front_of_the_calls_is_not_taken_apart() -> None:
    stream = stream_of(conversation())
    stream.add(raw("I will call: ", TokenClass.CONTENT))
    assert not stream.is_due
    stream.add(raw(BEGINNING + "{"))
    assert stream.is_due
    assert stream.output == "I will call: " + BEGINNING + "{"


def test_a_character_split_over_tokens_is_whole() -> None:
    stream = stream_of(conversation())
    deltas = told(stream, BEGINNING + '{"a": "', *(bytes([byte]) for byte in "🙂é".encode()))
    assert "".join(delta.arguments for delta in deltas) == '{"a": "🙂é'


def test_nothing_is_due_without_anything_new() -> None:
    stream = stream_of(conversation())
    told(stream, BEGINNING)
    assert not stream.is_due
    stream.add(raw(b"", TokenClass.CONTENT))
    assert not stream.is_due


def test_taking_outputs_apart_takes_a_small_share_of_the_time() -> None:
    clock = Clock(parse_s=0.01)
    rendered = conversation(SlowConversation)
    SlowConversation.clock, SlowConversation.n_parsed = clock, 0
    stream = stream_of(rendered, clock)
    text = BEGINNING + json.dumps({"a": "b" * 2000})
    deltas = []
    for character in text:
        clock.now_s += 0.01
        deltas += told(stream, character)
    assert 0.01 * SlowConversation.n_parsed <= clock.now_s / PAUSE_FACTOR
    assert len(deltas) > 50
    assert text.startswith(BEGINNING + "".join(delta.arguments for delta in deltas))


def test_arguments_that_change_their_beginning_are_not_told_any_further() -> None:
    class Changing(ScriptedConversation):
        @override
        def tool_calls_so_far(self, output: str) -> list[RequestedToolCall]:
            arguments = '{"a' if len(output) < 3 else '{"b": 1}'
            return [RequestedToolCall(id="", name="f", arguments=arguments)]

    deltas = told(stream_of(conversation(Changing)), "1", "2", "3", "4")
    assert [delta.arguments for delta in deltas] == ['{"a']
