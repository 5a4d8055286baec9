"""The main model families: a conversation renders, and outputs in the family's
format are classified and parsed. The templates are those that come with
llama.cpp; the outputs were written for these tests."""

# ruff: noqa: RUF001 - DeepSeek's special tokens are written with these characters.

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paddler.engine.chat import ChatTemplates
from paddler.engine.errors import BadTemplate
from paddler.engine.model import Model, open_model
from paddler.engine.rendered_conversation import RenderedConversation
from paddler.engine.requests import TokenClass
from paddler.messages.conversation import Message, RequestedToolCall, ToolDefinition
from paddler.messages.generation import (
    ConversationPrompt,
    ToolCall,
    ToolCallParseFailed,
    ToolCallsParsed,
    ToolChoice,
    UnrecognizedToolCallFormat,
)
from tests.support.llama_cpp import chat_template, chat_template_names
from tests.support.tiny_models import tiny_llama

CONTENT, REASONING = TokenClass.CONTENT, TokenClass.REASONING
TOOL_CALL, UNDETERMINABLE = TokenClass.TOOL_CALL, TokenClass.UNDETERMINABLE

WEATHER = ToolDefinition(
    name="get_weather",
    description="The weather in a city",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
)

CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
DEEPSEEK_CALL = (
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
    '```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
)


@dataclasses.dataclass(frozen=True)
class Recorded:
    """An output of a family's model, and what is to come of it."""

    template: str
    output: str
    segments: list[tuple[TokenClass, str]]
    n_calls: int = 0
    thinking: bool = False


RECORDED = [
    Recorded(
        "Qwen-Qwen3-0.6B",
        f"<think>\nThey want weather.\n</think>\n\n<tool_call>\n{CALL}\n</tool_call>",
        [
            (REASONING, "They want weather."),
            (TOOL_CALL, f"<tool_call>\n{CALL}\n</tool_call>"),
        ],
        n_calls=1,
        thinking=True,
    ),
    Recorded(
        "Qwen-Qwen3-0.6B",
        "It is <b>sunny</b>, 20 < 30.",
        [(CONTENT, "It is <b>sunny</b>, 20 < 30.")],
    ),
    Recorded(
        "Qwen3.5-4B",
        "Weather...\n</think>\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n"
        "</parameter>\n</function>\n</tool_call>",
        [
            (REASONING, "Weather..."),
            (
                TOOL_CALL,
                "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
                "</function>\n</tool_call>",
            ),
        ],
        n_calls=1,
        thinking=True,
    ),
    Recorded(
        "meta-llama-Llama-3.1-8B-Instruct",
        '{"name": "get_weather", "parameters": {"city": "Paris"}}',
        [(TOOL_CALL, '{"name": "get_weather", "parameters": {"city": "Paris"}}')],
        n_calls=1,
    ),
    Recorded(
        "meta-llama-Llama-3.2-3B-Instruct",
        '{"type": "function", "name": "get_weather", "parameters": {"city": "Paris"}}',
        [
            (
                TOOL_CALL,
                '{"type": "function", "name": "get_weather", "parameters": {"city": "Paris"}}',
            )
        ],
        n_calls=1,
    ),
    Recorded(
        "meta-llama-Llama-3.3-70B-Instruct",
        "Use {braces} as you like.",
        [(CONTENT, "Use {braces} as you like.")],
    ),
    Recorded(
        "mistralai-Mistral-Nemo-Instruct-2407",
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "a1b2c3d4e"}]',
        [
            (
                TOOL_CALL,
                '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"},'
                ' "id": "a1b2c3d4e"}]',
            )
        ],
        n_calls=1,
    ),
    Recorded(
        "Mistral-Small-3.2-24B-Instruct-2506",
        'One moment.[TOOL_CALLS]get_weather[CALL_ID]a1b2c3d4e[ARGS]{"city": "Paris"}',
        [
            (CONTENT, "One moment."),
            (TOOL_CALL, '[TOOL_CALLS]get_weather[CALL_ID]a1b2c3d4e[ARGS]{"city": "Paris"}'),
        ],
        n_calls=1,
    ),
    Recorded(
        "mistralai-Ministral-3-14B-Reasoning-2512",
        '[THINK]Hm.[/THINK]Let me look.[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}',
        [
            (REASONING, "Hm."),
            (CONTENT, "Let me look."),
            (TOOL_CALL, '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}'),
        ],
        n_calls=1,
        thinking=True,
    ),
    Recorded(
        "llama-cpp-deepseek-r1",
        f"Weather, then.\n</think>\n\n{DEEPSEEK_CALL}",
        [(REASONING, "Weather, then."), (TOOL_CALL, DEEPSEEK_CALL)],
        n_calls=1,
        thinking=True,
    ),
    Recorded(
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
        "Greet them.\n</think>\n\nHello!",
        [(REASONING, "Greet them."), (CONTENT, "Hello!")],
        thinking=True,
    ),
    Recorded(
        "google-gemma-4-31B-it",
        '<|channel>thought\nHm.\n<channel|>Sure.<|tool_call>call:get_weather{city:<|"|>Paris<|"|>}'
        "<tool_call|>",
        [
            (REASONING, "Hm."),
            (CONTENT, "Sure."),
            (TOOL_CALL, '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>}<tool_call|>'),
        ],
        n_calls=1,
        thinking=True,
    ),
    Recorded(
        "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
        f"<tool_call>\n{CALL}\n</tool_call>",
        [(TOOL_CALL, f"<tool_call>\n{CALL}\n</tool_call>")],
        n_calls=1,
    ),
    Recorded(
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
        f"Both.\n<tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n{CALL}\n</tool_call>",
        [
            (CONTENT, "Both.\n"),
            (TOOL_CALL, f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n{CALL}\n</tool_call>"),
        ],
        n_calls=2,
    ),
    Recorded(
        "ibm-granite-granite-4.0",
        f"<tool_call>\n{CALL}\n</tool_call>",
        [(TOOL_CALL, f"<tool_call>\n{CALL}\n</tool_call>")],
        n_calls=1,
    ),
    Recorded(
        "openai-gpt-oss-120b",
        "<|channel|>analysis<|message|>Look it up.<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.get_weather <|constrain|>json<|message|>{"city":"Paris"}',
        [
            (REASONING, "Look it up."),
            (
                TOOL_CALL,
                "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
                '{"city":"Paris"}',
            ),
        ],
        n_calls=1,
        thinking=True,
    ),
    Recorded(
        "openai-gpt-oss-120b",
        "<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>"
        "It is sunny.",
        [(REASONING, "Easy."), (CONTENT, "It is sunny.")],
        thinking=True,
    ),
]


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("chat_families") / "model.gguf")


@pytest.fixture
async def model(tiny_model_path: Path) -> AsyncIterator[Model]:
    """Gives the templates a beginning and an end token, as every real model does."""
    async with open_model(tiny_model_path) as opened:
        yield opened


def rendered(
    model: Model, template: str, *, thinking: bool = False, **changes: object
) -> RenderedConversation:
    templates = ChatTemplates.open(model.handle, chat_template(template))
    assert templates is not None
    prompt = ConversationPrompt(
        **{
            "messages": [Message(role="user", content="What is the weather in Paris?")],
            "enable_thinking": thinking,
            "tools": [WEATHER],
            "parallel_tool_calls": True,
            **changes,
        }  # type: ignore[arg-type]  # field names and types of ConversationPrompt
    )
    try:
        return templates.render(prompt)
    finally:
        templates.close()


def ids(recorded: Recorded) -> str:
    return f"{recorded.template}: {recorded.output[:24]!r}"


@pytest.mark.parametrize("recorded", RECORDED, ids=ids)
async def test_a_recorded_output_is_classified(model: Model, recorded: Recorded) -> None:
    conversation = rendered(model, recorded.template, thinking=recorded.thinking)
    assert conversation.classify(recorded.output) == recorded.segments


@pytest.mark.parametrize("recorded", RECORDED, ids=ids)
async def test_a_recorded_output_is_parsed(model: Model, recorded: Recorded) -> None:
    conversation = rendered(model, recorded.template, thinking=recorded.thinking)
    outcome = conversation.parse_tool_calls(recorded.output)
    assert isinstance(outcome, ToolCallsParsed)
    assert len(outcome.calls) == recorded.n_calls
    for call in outcome.calls:
        assert call.name == "get_weather"
        assert call.arguments_valid
        assert json.loads(call.arguments_json) == {"city": "Paris"}
    assert len({call.id for call in outcome.calls}) == recorded.n_calls


async def test_an_id_that_the_model_gave_is_kept(model: Model) -> None:
    conversation = rendered(model, "mistralai-Mistral-Nemo-Instruct-2407")
    outcome = conversation.parse_tool_calls(
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "a1b2c3d4e"}]'
    )
    assert outcome == ToolCallsParsed(
        [ToolCall("a1b2c3d4e", "get_weather", '{"city": "Paris"}', arguments_valid=True)]
    )


async def test_reasoning_and_content_are_separated_when_parsed(model: Model) -> None:
    message = rendered(model, "Qwen-Qwen3-0.6B", thinking=True).parse(
        "<think>\nHm.\n</think>\n\nHello."
    )
    assert message.reasoning.strip() == "Hm."
    assert message.content == "Hello."
    assert message.tool_calls == []


async def test_a_broken_call_is_reported(model: Model) -> None:
    conversation = rendered(model, "Qwen-Qwen3-0.6B")
    outcome = conversation.parse_tool_calls('<tool_call>\n{"name"; "get_weather"}\n</tool_call>')
    assert isinstance(outcome, ToolCallParseFailed)


async def test_a_call_cut_short_has_arguments_that_are_no_json(model: Model) -> None:
    conversation = rendered(model, "Qwen-Qwen3-0.6B")
    outcome = conversation.parse_tool_calls(
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Pa'
    )
    assert isinstance(outcome, ToolCallsParsed)
    assert [call.arguments_valid for call in outcome.calls] == [False]


async def test_a_call_of_an_unknown_tool_is_reported(model: Model) -> None:
    conversation = rendered(model, "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use")
    outcome = conversation.parse_tool_calls(
        '<tool_call>\n{"name": "launch", "arguments": {}}\n</tool_call>'
    )
    assert isinstance(outcome, ToolCallParseFailed)


async def test_output_nested_beyond_reason_is_reported(model: Model) -> None:
    conversation = rendered(model, "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use")
    deep = "[" * 100_000
    outcome = conversation.parse_tool_calls(
        f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": {deep}'
    )
    assert isinstance(outcome, ToolCallParseFailed)


async def test_where_the_template_ignores_tools_nothing_can_be_told(model: Model) -> None:
    conversation = rendered(model, "google-gemma-2-2b-it")
    assert conversation.classify("Sunny.") == [(UNDETERMINABLE, "Sunny.")]
    outcome = conversation.parse_tool_calls("Sunny.")
    assert isinstance(outcome, UnrecognizedToolCallFormat)
    assert outcome.text == "Sunny."


async def test_without_tools_everything_is_content_where_the_model_does_not_think(
    model: Model,
) -> None:
    conversation = rendered(model, "google-gemma-2-2b-it", tools=[])
    assert conversation.classify("<tool_call> { }") == [(CONTENT, "<tool_call> { }")]
    assert conversation.grammar is None


@pytest.mark.parametrize("template", chat_template_names())
async def test_every_template_renders_a_conversation_with_tools(
    model: Model, template: str
) -> None:
    question = Message(role="user", content="Wie ist das Wetter in Köln?")
    call = RequestedToolCall(id="a1b2c3d4e", name="get_weather", arguments='{"city": "Köln"}')
    history = [
        question,
        Message(role="assistant", content="", tool_calls=[call]),
        Message(role="tool", content="rainy", tool_call_id="a1b2c3d4e", name="get_weather"),
        Message(role="assistant", content="It rains."),
        Message(role="user", content="And tomorrow?"),
    ]
    plain = rendered(model, template, messages=[question], tools=[])
    assert "Wie ist das Wetter in Köln?" in plain.text
    assert plain.grammar is None
    if template == "google-gemma-2-2b-it":
        with pytest.raises(BadTemplate, match="must alternate"):
            rendered(model, template, messages=history)
        return
    followed = rendered(model, template, messages=history)
    last = followed.text.rindex("And tomorrow?")
    if followed.message_starts:
        assert followed.message_starts == sorted(followed.message_starts)
        assert followed.message_starts[-1] < last
        assert last - followed.message_starts[-1] < 80


@pytest.mark.parametrize("template", sorted({recorded.template for recorded in RECORDED}))
async def test_a_required_call_comes_with_a_grammar(model: Model, template: str) -> None:
    conversation = rendered(model, template, tool_choice=ToolChoice.REQUIRED)
    assert conversation.grammar is not None
    assert not conversation.grammar.lazy
    assert "root ::=" in conversation.grammar.text


@pytest.mark.parametrize("template", sorted({recorded.template for recorded in RECORDED}))
async def test_an_optional_call_is_constrained_once_it_begins(model: Model, template: str) -> None:
    grammar = rendered(model, template).grammar
    if grammar is None:
        assert "Llama-3" in template, "only bare JSON calls have no beginning to wait for"
    else:
        assert grammar.lazy
        assert grammar.prefix == ""
        assert grammar.trigger_patterns or grammar.trigger_tokens


@pytest.mark.parametrize("template", sorted({recorded.template for recorded in RECORDED}))
async def test_forbidden_calls_are_neither_constrained_nor_expected(
    model: Model, template: str
) -> None:
    conversation = rendered(model, template, tool_choice=ToolChoice.NONE)
    assert conversation.grammar is None
    assert TOOL_CALL not in {marker.becomes for marker in conversation.markers}
