"""Tool calls that a grammar forces, from the template to the parsed call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from paddler.engine.chat import ChatTemplates
from paddler.engine.model import Model, open_model
from paddler.engine.rendered_conversation import RenderedConversation
from paddler.engine.requests import (
    Ended,
    EngineRequest,
    EngineSampling,
    FinishReason,
    TokenClass,
    Tokens,
)
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import SlotEngine, open_slots
from paddler.messages.conversation import Message, ToolDefinition
from paddler.messages.generation import ConversationPrompt, ToolCallsParsed, ToolChoice
from tests.support.llama_cpp import chat_template
from tests.support.tiny_models import BYTE_TOKENS, SPECIAL_TOKENS, tiny_llama

TIMEOUT_S = 120.0
SETTINGS = EngineSettings(
    n_slots=1, context_tokens=4096, n_threads=1, k_cache_dtype="F32", v_cache_dtype="F32"
)
WEATHER = ToolDefinition(
    name="get_weather",
    description="The weather in a city",
    parameters={
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
    },
)
# How a call begins. A model without sense would talk for ever before it calls.
BEGINNINGS = {
    "Qwen-Qwen3-0.6B": "<tool_call>\n",
    "Qwen3-Coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n",
    "meta-llama-Llama-3.1-8B-Instruct": "{",
    "mistralai-Mistral-Nemo-Instruct-2407": "[TOOL_CALLS]",
    "Mistral-Small-3.2-24B-Instruct-2506": "[TOOL_CALLS]get_weather[CALL_ID]a1b2c3d4e[ARGS]",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "<tool_call>\n",
    "ibm-granite-granite-4.0": "<tool_call>\n",
    "openai-gpt-oss-120b": "<|channel|>commentary to=functions.",
}


@pytest.fixture
async def slots(tmp_path: Path) -> AsyncIterator[tuple[Model, SlotEngine]]:
    path = tiny_llama(tmp_path / "model.gguf")
    async with open_model(path) as model, open_slots(model, SETTINGS) as engine:
        yield model, engine


def conversation_of(model: Model, template: str, choice: ToolChoice) -> RenderedConversation:
    templates = ChatTemplates.open(model.handle, chat_template(template))
    assert templates is not None
    try:
        return templates.render(
            ConversationPrompt(
                messages=[Message(role="user", content="What is the weather in Paris?")],
                tools=[WEATHER],
                tool_choice=choice,
            )
        )
    finally:
        templates.close()


async def answer(
    model: Model, engine: SlotEngine, conversation: RenderedConversation, beginning: str
) -> tuple[str, str, Ended]:
    """The text of the tool call, what the model wrote, and how the answer ended."""
    space, *begun = await model.tokenize(beginning, add_special=False)
    assert model.token_bytes(space) == b" "
    request = EngineRequest(
        prompt_tokens=await model.tokenize(conversation.text),
        max_tokens=1000,
        sampling=EngineSampling(
            temperature=1.0,
            min_p=0.0,
            seed=1,
            logit_bias=[(token, -1000.0) for token in (0, 1, *SPECIAL_TOKENS, *BYTE_TOKENS)],
        ),
        grammar=conversation.grammar,
        stops=conversation.stops,
        preserved_tokens=conversation.preserved_tokens,
        initial_class=conversation.initial_class,
        markers=conversation.markers,
        replay_tokens=begun,
        with_raw_text=True,
    )
    text, raw_text = "", b""
    end: Ended | None = None
    async with engine.start(request) as generation:
        async for batch in generation.batches():
            for event in batch:
                if isinstance(event, Tokens):
                    raw_text += event.raw_text
                    if event.token_class is TokenClass.TOOL_CALL:
                        text += event.text
                elif isinstance(event, Ended):
                    end = event
    assert end is not None
    return text, raw_text.decode(), end


@pytest.mark.parametrize("template", BEGINNINGS)
async def test_a_required_call_is_made_whatever_the_model_wants(
    slots: tuple[Model, SlotEngine], template: str
) -> None:
    model, engine = slots
    with trio.fail_after(TIMEOUT_S):
        conversation = conversation_of(model, template, ToolChoice.REQUIRED)
        text, raw_text, ended = await answer(model, engine, conversation, BEGINNINGS[template])
    assert "get_weather" in text
    assert ended.n_generated[TokenClass.TOOL_CALL] > 0
    assert ended.reason is FinishReason.END_OF_GENERATION
    outcome = conversation.parse_tool_calls(raw_text)
    assert isinstance(outcome, ToolCallsParsed)
    assert [call.name for call in outcome.calls] == ["get_weather"]
    assert json.loads(outcome.calls[0].arguments_json)["city"] in ("Paris", "Rome")
