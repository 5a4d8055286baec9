"""Tool calls that are required come at once, and single ones come once."""

from __future__ import annotations

import pytest

from paddler.engine.chat import ChatTemplates
from paddler.engine.tool_call_grammar import call_or_answer_grammar, tool_call_grammar
from paddler.messages.conversation import Message, ToolDefinition
from paddler.messages.generation import ConversationPrompt, ToolChoice
from tests.support.llama_cpp import chat_template

PROSE_THEN_CALLS = (
    'root ::= "<|im_start|>assistant\\n" space ("<think>" until-4 "</think>")? until-9? '
    "tool-calls\n"
    'tool-call ::= "<tool_call>" object "</tool_call>"\n'
    "tool-calls ::= (tool-call space)+\n"
)


def rule(grammar: str, name: str) -> str:
    return next(line for line in grammar.splitlines() if line.startswith(f"{name} ::="))


def test_no_prose_precedes_a_required_call_but_thoughts_may() -> None:
    forced = tool_call_grammar(PROSE_THEN_CALLS, is_required=True, is_parallel=True)
    assert rule(forced, "root") == (
        'root ::= "<|im_start|>assistant\\n" space ("<think>" until-4 "</think>")? tool-calls'
    )
    assert rule(forced, "tool-calls") == rule(PROSE_THEN_CALLS, "tool-calls")


def test_a_call_that_is_not_parallel_is_not_repeated() -> None:
    single = tool_call_grammar(PROSE_THEN_CALLS, is_required=False, is_parallel=False)
    assert rule(single, "tool-calls") == "tool-calls ::= tool-call space"
    assert rule(single, "root") == rule(PROSE_THEN_CALLS, "root")


@pytest.mark.parametrize(
    "template",
    [
        "Qwen-Qwen2.5-7B-Instruct",
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
        "mistralai-Mistral-Nemo-Instruct-2407",
        "meta-llama-Llama-3.1-8B-Instruct",
    ],
)
def test_the_root_of_known_formats_begins_with_the_call(template: str) -> None:
    tool = ToolDefinition(name="now", parameters={"type": "object", "properties": {}})
    prompt = ConversationPrompt(
        messages=[Message(role="user", content="What time is it?")],
        tools=[tool],
        tool_choice=ToolChoice.REQUIRED,
    )
    templates = ChatTemplates.open(None, chat_template(template))
    assert templates is not None
    grammar = templates.render(prompt).grammar
    assert grammar is not None
    root = rule(grammar.text, "root")
    assert "until-" not in root
    assert root.rsplit(" ", 1)[1].startswith("tool-call")


WEATHER = ToolDefinition(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {"city": {"enum": ["Paris"]}},
        "required": ["city"],
    },
)
YES_OR_NO = (
    '{"type": "object", "properties": {"a b": {"enum": ["yes", "no"]}}, "required": ["a b"]}'
)


def rendered_with_schema(template: str, choice: ToolChoice) -> str:
    prompt = ConversationPrompt(
        messages=[Message(role="user", content="Hi")], tools=[WEATHER], tool_choice=choice
    )
    templates = ChatTemplates.open(None, chat_template(template))
    assert templates is not None
    grammar = templates.render(prompt, json_schema=YES_OR_NO).grammar
    assert grammar is not None
    assert not grammar.lazy
    return grammar.text


@pytest.mark.parametrize(
    "template",
    ["Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "Mistral-Small-3.2-24B-Instruct-2506"],
)
def test_the_model_chooses_between_a_call_and_an_answer_that_fits(template: str) -> None:
    grammar = rendered_with_schema(template, ToolChoice.AUTO)
    assert rule(grammar, "root").endswith(" | answer-root)")
    assert '"\\"a b\\""' in rule(grammar, "answer-a-b-kv")
    names = [line.partition(" ::=")[0] for line in grammar.splitlines()]
    assert len(names) == len(set(names))


def test_where_no_call_may_be_only_the_answer_is_left() -> None:
    grammar = rendered_with_schema("Qwen-Qwen2.5-7B-Instruct", ToolChoice.NONE)
    assert "tool-call" not in grammar


def test_a_format_that_wraps_its_answers_keeps_to_the_schema() -> None:
    wrapped = 'root ::= ("<|START_RESPONSE|>" until-2 "<|END|>")? tool-call\ntool-call ::= "x"\n'
    assert call_or_answer_grammar(wrapped, 'root ::= "y"\n', is_parallel=True) is None


def test_only_names_of_rules_are_renamed() -> None:
    calls = 'root ::= space tool-call\nspace ::= " "\ntool-call ::= "x"\n'
    answer = 'root ::= "root \\"root\\"" [root\\]] space{1,2} ("a" | b-1)?\nb-1 ::= ""\n'
    grammar = call_or_answer_grammar(calls, answer, is_parallel=True)
    assert grammar is not None
    assert rule(grammar, "answer-root") == (
        'answer-root ::= "root \\"root\\"" [root\\]] answer-space{1,2} ("a" | answer-b-1)?'
    )
