"""An agent dies while it writes a tool call: the client gets one call, whole."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam

from paddler.messages.state import ChatTemplate
from tests.interop.conftest import TEMPLATE_WITH_TOOLS
from tests.support.openai_clients import MODEL, client_of
from tests.support.real_programs import Program, RealBalancer, gemma_state, programs

pytestmark = pytest.mark.model

KEEP: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "keep",
        "parameters": {
            "type": "object",
            "properties": {"note": {"type": "string", "minLength": 150, "maxLength": 200}},
            "required": ["note"],
        },
    },
}


@pytest.fixture
def pair(real_model_path: Path) -> Iterator[tuple[RealBalancer, dict[str, Program]]]:
    with programs() as started:
        balancer = started.balancer("--compat-openai-addr=127.0.0.1:0")
        agents = {
            name: started.agent(balancer.management_address, slots=1, name=name)
            for name in ("one", "two")
        }
        template = ChatTemplate(TEMPLATE_WITH_TOOLS.read_text())
        state = gemma_state(real_model_path)
        balancer.put_state(msgspec.structs.replace(state, chat_template_override=template))
        balancer.wait_for_slots(2)
        yield balancer, agents


def test_a_tool_call_goes_on_at_another_agent(
    pair: tuple[RealBalancer, dict[str, Program]],
) -> None:
    balancer, agents = pair
    ids, pieces = [], []
    finish_reason = None
    with client_of(balancer.url("openai")) as client:
        stream = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Keep a note on the weather."}],
            tools=[KEEP],
            tool_choice="required",
            parallel_tool_calls=False,
            max_tokens=300,
            stream=True,
        )
        for chunk in stream:
            for call in chunk.choices[0].delta.tool_calls or []:
                assert call.index == 0
                assert call.function is not None
                ids += [call.id] if call.id is not None else []
                pieces.append(call.function.arguments or "")
            finish_reason = chunk.choices[0].finish_reason
            if len(pieces) == 8:
                (busy,) = [agent for agent in balancer.agents() if agent["slots_processing"]]
                agents[str(busy["name"])].stop(signal.SIGKILL)
    assert len(pieces) > 8
    assert len(ids) == 1
    assert 150 <= len(json.loads("".join(pieces))["note"]) <= 200
    assert finish_reason == "tool_calls"
    assert len(balancer.agents()) == 1
