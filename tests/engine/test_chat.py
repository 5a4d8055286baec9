"""Rendering conversations: what the template gets, and what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from paddler.engine.chat import ChatTemplates
from paddler.engine.errors import BadSchema, BadTemplate, InvalidArgument
from paddler.engine.model import open_model
from paddler.engine.pixels import MEDIA_MARKER
from paddler.engine.rendered_conversation import RenderedConversation
from paddler.engine.requests import TokenClass
from paddler.messages.conversation import (
    ImagePart,
    ImageUrl,
    Message,
    RequestedToolCall,
    TextPart,
    ToolDefinition,
)
from paddler.messages.generation import ConversationPrompt, ToolChoice
from tests.support.llama_cpp import chat_template
from tests.support.tiny_models import tiny_llama

CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
HELLO = Message(role="user", content="Hello")
TIMEOUT_S = 60.0


def rendered(
    prompt: ConversationPrompt, *, source: str = CHATML, json_schema: str | None = None
) -> RenderedConversation:
    templates = ChatTemplates.open(None, source)
    assert templates is not None
    try:
        return templates.render(prompt, json_schema=json_schema)
    finally:
        templates.close()


def test_a_conversation_becomes_the_templates_text() -> None:
    conversation = rendered(
        ConversationPrompt(messages=[Message(role="system", content="Be brief."), HELLO])
    )
    assert conversation.text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )
    assert conversation.grammar is None
    assert conversation.initial_class is TokenClass.CONTENT
    assert not conversation.supports_thinking


def test_the_generation_prompt_can_be_left_out() -> None:
    conversation = rendered(ConversationPrompt(messages=[HELLO], add_generation_prompt=False))
    assert conversation.text == "<|im_start|>user\nHello<|im_end|>\n"


def test_message_starts_are_characters_not_bytes() -> None:
    conversation = rendered(
        ConversationPrompt(
            messages=[
                Message(role="user", content="Grüße aus Köln 🐟"),
                Message(role="assistant", content="Schön."),
                HELLO,
            ]
        )
    )
    first, second = conversation.message_starts
    assert first == 0
    assert conversation.text[second:].startswith("<|im_start|>user\nHello")


def test_images_become_markers_in_their_order() -> None:
    image = ImagePart(image_url=ImageUrl(url="data:image/png;base64,AA=="))
    conversation = rendered(
        ConversationPrompt(
            messages=[
                Message(
                    role="user",
                    content=[TextPart(text="Compare"), image, TextPart(text="with"), image],
                )
            ]
        )
    )
    assert f"Compare{MEDIA_MARKER}with{MEDIA_MARKER}" in conversation.text


def test_a_template_without_the_system_role_gets_it_with_the_first_message() -> None:
    conversation = rendered(
        ConversationPrompt(messages=[Message(role="system", content="Be brief."), HELLO]),
        source=chat_template("google-gemma-2-2b-it"),
    )
    assert "Be brief.\nHello" in conversation.text


def test_template_arguments_reach_the_template() -> None:
    conversation = rendered(
        ConversationPrompt(messages=[HELLO], template_arguments={"mood": '{"is": ["sunny"]}'}),
        source=CHATML + "{{ mood.is[0] }}",
    )
    assert conversation.text.endswith("sunny")


def test_a_template_that_refuses_says_why() -> None:
    with pytest.raises(BadTemplate, match="only two messages"):
        rendered(
            ConversationPrompt(messages=[HELLO]),
            source="{{ raise_exception('only two messages') }}",
        )


@pytest.mark.parametrize(
    "source",
    [
        "",
        "{% for message in messages %}",
        "{{ message.",
        "{% nonsense %}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ 'a' }}\0{{ 'b' }}",
        "x" * 600_000,
    ],
    ids=["empty", "unclosed", "cut", "unknown", "nested", "nul", "huge"],
)
def test_a_template_that_does_not_compile_is_refused(source: str) -> None:
    with pytest.raises(BadTemplate):
        ChatTemplates.open(None, source)


def test_neither_a_template_nor_a_model_is_no_template() -> None:
    assert ChatTemplates.open(None) is None


def test_a_closed_template_refuses() -> None:
    templates = ChatTemplates.open(None, CHATML)
    assert templates is not None
    templates.close()
    templates.close()
    with pytest.raises(InvalidArgument):
        templates.render(ConversationPrompt(messages=[HELLO]))


def test_the_arguments_of_an_earlier_call_must_be_json() -> None:
    call = RequestedToolCall(id="a1b2c3d4e", name="get_weather", arguments="{nonsense")
    with pytest.raises(InvalidArgument, match="not JSON"):
        rendered(
            ConversationPrompt(
                messages=[HELLO, Message(role="assistant", tool_calls=[call]), HELLO]
            ),
            source=chat_template("Qwen3-Coder"),
        )


def test_a_tool_whose_parameters_are_no_schema_is_named() -> None:
    tool = ToolDefinition(name="broken", parameters={"type": "object", "properties": 5})
    with pytest.raises(BadSchema, match="broken"):
        rendered(
            ConversationPrompt(messages=[HELLO], tools=[tool], tool_choice=ToolChoice.REQUIRED),
            source=chat_template("Qwen-Qwen3-0.6B"),
        )


def test_nesting_beyond_reason_is_refused() -> None:
    deep: dict[str, object] = {"type": "object"}
    for _ in range(200):
        deep = {"type": "object", "properties": {"a": deep}}
    tool = ToolDefinition(name="deep", parameters=deep)
    with pytest.raises(InvalidArgument, match="nested"):
        rendered(ConversationPrompt(messages=[HELLO], tools=[tool]))


@pytest.mark.parametrize("thinking", [True, False])
def test_thinking_that_the_prompt_opens_is_reasoning_from_the_start(thinking: bool) -> None:
    conversation = rendered(
        ConversationPrompt(messages=[HELLO], enable_thinking=thinking),
        source=chat_template("Qwen3.5-4B"),
    )
    assert conversation.supports_thinking
    expected = TokenClass.REASONING if thinking else TokenClass.CONTENT
    assert conversation.initial_class is expected
    assert conversation.text.endswith("<think>\n") is thinking


@pytest.mark.parametrize(
    ("template", "thinking", "answer"),
    [
        ("Qwen-Qwen3-0.6B", False, '{"a": 1}'),
        ("Qwen-Qwen3-0.6B", True, '<think>\nOne?\n</think>\n\n{"a": 1}'),
        ("llama-cpp-deepseek-r1", True, 'One?\n</think>\n\n{"a": 1}'),
        ("mistralai-Ministral-3-14B-Reasoning-2512", False, '{"a": 1}'),
        ("google-gemma-2-2b-it", False, '{"a": 1}'),
        (
            "openai-gpt-oss-120b",
            True,
            "<|channel|>analysis<|message|>One?<|end|><|start|>assistant"
            '<|channel|>final<|message|>{"a": 1}',
        ),
    ],
)
def test_an_answer_constrained_by_a_schema_is_bare_json(
    template: str, thinking: bool, answer: str
) -> None:
    schema = json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}})
    conversation = rendered(
        ConversationPrompt(messages=[HELLO], enable_thinking=thinking),
        source=chat_template(template),
        json_schema=schema,
    )
    assert conversation.grammar is not None
    assert not conversation.grammar.lazy
    assert "```" not in conversation.grammar.text
    content = [text for kind, text in conversation.classify(answer) if kind is TokenClass.CONTENT]
    assert json.loads("".join(content)) == {"a": 1}
    assert json.loads(conversation.parse(answer).content) == {"a": 1}


@pytest.mark.parametrize("schema", ["{", "5", '{"type": "nonsense"}', "[" * 10_000])
def test_a_schema_without_a_grammar_is_refused(schema: str) -> None:
    with pytest.raises((BadSchema, InvalidArgument)):
        rendered(ConversationPrompt(messages=[HELLO]), json_schema=schema)


async def test_the_template_in_the_file_is_used_unless_overridden(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "model.gguf", chat_template=CHATML)
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model:
            own = ChatTemplates.open(model.handle)
            other = ChatTemplates.open(model.handle, "{{ messages[0].content }}")
            assert own is not None
            assert other is not None
            assert own.source == CHATML
            assert other.render(ConversationPrompt(messages=[HELLO])).text == "Hello"
            own.close()
            other.close()


async def test_a_model_without_a_template_has_none(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "model.gguf")
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model:
            assert ChatTemplates.open(model.handle) is None


async def test_special_tokens_that_markers_need_are_preserved(tmp_path: Path) -> None:
    special = ["<tool_call>", "</tool_call>", "<think>", "</think>", "<|im_end|>"]
    path = tiny_llama(tmp_path / "model.gguf", special_tokens=special)
    tool = ToolDefinition(name="get_weather", parameters={"type": "object", "properties": {}})
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model:
            templates = ChatTemplates.open(model.handle, chat_template("Qwen3.5-4B"))
            assert templates is not None
            conversation = templates.render(
                ConversationPrompt(messages=[HELLO], tools=[tool], enable_thinking=True)
            )
            templates.close()
            preserved = {model.token_bytes(token) for token in conversation.preserved_tokens}
            grammar = conversation.grammar
            assert grammar is not None
            triggers = {model.token_bytes(token) for token in grammar.trigger_tokens}
    assert {b"<tool_call>", b"<think>", b"</think>"} <= preserved
    assert triggers == {b"<tool_call>"}
    assert grammar.trigger_patterns == []
