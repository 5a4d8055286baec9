"""Tool calls while they are written, in the formats of the main model families.

Every output is fed a character at a time, and what is told of its calls has to
add up to the calls that the whole output has. The templates are those that come
with llama.cpp; the outputs were written for these tests.
"""

# ruff: noqa: RUF001 - DeepSeek's special tokens are written with these characters.

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from paddler.agent.tool_calls.stream import ToolCallStream
from paddler.engine.chat import ChatTemplates
from paddler.engine.model import Model, open_model
from paddler.engine.rendered_conversation import RenderedConversation
from paddler.engine.requests import TokenClass, Tokens
from paddler.messages.conversation import Message, ToolDefinition
from paddler.messages.generation import ConversationPrompt, ToolCallDelta, ToolCallsParsed
from tests.support.llama_cpp import chat_template
from tests.support.tiny_models import tiny_llama

BOOK = ToolDefinition(
    name="book",
    description="Books a table",
    parameters={
        "type": "object",
        "properties": {
            "place": {"type": "string"},
            "guests": {"type": "integer"},
            "outside": {"type": "boolean"},
            "note": {"type": "string"},
            "wishes": {"type": "array", "items": {"type": "string"}},
            "contact": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    },
)
# A name that is the beginning of another.
BOOKING = ToolDefinition(name="booking", description="Shows a booking", parameters=None)

PLACE = 'Café "Zur {Post}"\\n <b>ü</b> 🙂'
ARGUMENTS = {
    "place": PLACE,
    "guests": 12,
    "outside": True,
    "note": None,
    "wishes": ["quiet", "near, the \\ window", "}"],
    "contact": {"name": "Ünal"},
}
TEXT = json.dumps(ARGUMENTS, ensure_ascii=False)
SHORT = json.dumps({"place": "Bar"})

XML_CALL = (
    "<tool_call>\n<function=book>\n<parameter=place>\nZur {Post} <b>ü</b> 🙂\n</parameter>\n"
    "<parameter=guests>\n12\n</parameter>\n<parameter=outside>\ntrue\n</parameter>\n"
    '<parameter=wishes>\n["quiet", "near, the window"]\n</parameter>\n'
    "</function>\n</tool_call>"
)

HERMES_CALL = f'<tool_call>\n{{"name": "book", "arguments": {TEXT}}}\n</tool_call>'
HERMES_SHORT_CALL = f'<tool_call>\n{{"name": "book", "arguments": {SHORT}}}\n</tool_call>'

OUTPUTS = {
    "Qwen-Qwen3-0.6B": f"<think>\nHm.\n</think>\n\nFirst.\n{HERMES_CALL}\n{HERMES_SHORT_CALL}",
    "Qwen3-Coder": XML_CALL,
    "Qwen3.5-4B": f"Hm.\n</think>\n\n{XML_CALL}",
    "meta-llama-Llama-3.1-8B-Instruct": f'{{"name": "book", "parameters": {TEXT}}}',
    "meta-llama-Llama-3.2-3B-Instruct": '{"type": "function", "name": "book", "parameters":'
    f" {TEXT}}}",
    "mistralai-Mistral-Nemo-Instruct-2407": f'[TOOL_CALLS][{{"name": "book", "arguments": {TEXT},'
    f' "id": "a1b2c3d4e"}}, {{"name": "book", "arguments": {SHORT}, "id": "b1b2c3d4e"}}]',
    "Mistral-Small-3.2-24B-Instruct-2506": "One moment.[TOOL_CALLS]book[CALL_ID]a1b2c3d4e[ARGS]"
    f"{TEXT}",
    "mistralai-Ministral-3-14B-Reasoning-2512": f"[THINK]Hm.[/THINK][TOOL_CALLS]book[ARGS]{TEXT}",
    "llama-cpp-deepseek-r1": "Hm.\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
    f"<｜tool▁sep｜>book\n```json\n{TEXT}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "google-gemma-4-31B-it": '<|tool_call>call:book{place:<|"|>Bar "Ü" {x}<|"|>,guests:12,'
    'outside:true,wishes:[<|"|>a<|"|>,<|"|>b<|"|>]}<tool_call|>',
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": HERMES_CALL,
    "ibm-granite-granite-4.0": HERMES_CALL,
    "openai-gpt-oss-120b": "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>"
    f"commentary to=functions.book <|constrain|>json<|message|>{TEXT}",
    "LFM2-8B-A1B": '<|tool_call_start|>[book(place="Bar", guests=12, outside=True, '
    "wishes=['a', 'b'], contact={'name': None})]<|tool_call_end|>",
    "GLM-4.6": "<tool_call>book\n<arg_key>place</arg_key>\n<arg_value>Zur {Post} 🙂</arg_value>\n"
    "<arg_key>guests</arg_key>\n<arg_value>12</arg_value>\n<arg_key>outside</arg_key>\n"
    "<arg_value>true</arg_value>\n</tool_call>",
    "Kimi-K2-Instruct": "<|tool_calls_section_begin|><|tool_call_begin|>functions.book:0"
    f"<|tool_call_argument_begin|>{TEXT}<|tool_call_end|><|tool_calls_section_end|>",
    "MiniMax-M2": 'Hm.\n</think>\n\n<minimax:tool_call>\n<invoke name="book">\n<parameter '
    'name="place">Zur {Post}</parameter>\n<parameter name="guests">12</parameter>\n</invoke>\n'
    "</minimax:tool_call>",
    "ByteDance-Seed-OSS": "<seed:tool_call>\n<function=book>\n<parameter=place>"
    "Zur Post</parameter>\n<parameter=guests>12</parameter>\n</function>\n</seed:tool_call>",
    "meetkai-functionary-medium-v3.2": f"book\n{TEXT}",
    "deepseek-ai-DeepSeek-V3.1": "Hm.</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>book"
    f"<｜tool▁sep｜>{TEXT}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
}


@pytest.fixture(scope="module")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("tool_call_deltas") / "model.gguf")


@pytest.fixture
async def model(tiny_model_path: Path) -> AsyncIterator[Model]:
    async with open_model(tiny_model_path) as opened:
        yield opened


def rendered(model: Model, template: str, output: str) -> RenderedConversation:
    templates = ChatTemplates.open(model.handle, chat_template(template))
    assert templates is not None
    try:
        return templates.render(
            ConversationPrompt(
                messages=[Message(role="user", content="A table, please.")],
                enable_thinking="Hm." in output,
                tools=[BOOKING, BOOK],
                parallel_tool_calls=True,
            )
        )
    finally:
        templates.close()


def pieces(conversation: RenderedConversation, output: str) -> Iterator[list[ToolCallDelta]]:
    """What is told after each byte of `output`."""
    stream = ToolCallStream(conversation, clock=lambda: 0.0, new_id=lambda: "made-up")
    for byte in output.encode():
        stream.add(Tokens([], TokenClass.TOOL_CALL, "", [], bytes([byte])))
        assert stream.is_due
        yield stream.deltas()


def put_together(deltas: Sequence[ToolCallDelta]) -> list[str]:
    arguments: dict[int, str] = {}
    for delta in deltas:
        assert delta.offset == len(arguments.get(delta.position, ""))
        arguments[delta.position] = arguments.get(delta.position, "") + delta.arguments
    assert list(arguments) == list(range(len(arguments)))
    return list(arguments.values())


@pytest.mark.parametrize("template", OUTPUTS)
async def test_the_pieces_of_a_call_add_up_to_the_whole_call(model: Model, template: str) -> None:
    output = OUTPUTS[template]
    conversation = rendered(model, template, output)
    deltas = [delta for told in pieces(conversation, output) for delta in told]
    whole = conversation.parse_tool_calls(output)
    assert isinstance(whole, ToolCallsParsed)
    assert whole.calls
    assert all(call.arguments_valid for call in whole.calls)
    assert {delta.name for delta in deltas} == {"book"}
    assert put_together(deltas) == [call.arguments_json for call in whole.calls]


@pytest.mark.parametrize("template", OUTPUTS)
async def test_a_call_is_told_in_many_pieces(model: Model, template: str) -> None:
    output = OUTPUTS[template]
    conversation = rendered(model, template, output)
    told = [deltas for deltas in pieces(conversation, output) if deltas]
    assert len(told) > 12
    assert max(len(delta.arguments) for deltas in told for delta in deltas) <= 24
