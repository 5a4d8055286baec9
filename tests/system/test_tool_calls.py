"""Grammars and tool calls by the real model, through the whole system."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import ANY

import httpx
import msgspec
import pytest

from paddler.messages.generation import Usage
from paddler.messages.state import ChatTemplate
from tests.support.real_programs import RealBalancer, gemma_state, programs

pytestmark = pytest.mark.model

TEMPLATE_WITH_TOOLS = Path(__file__).parent.parent / "support" / "template_with_tools.jinja"
LIMIT_S = 120.0

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def fleet(real_model_path: Path) -> Iterator[RealBalancer]:
    with programs() as running:
        balancer = running.balancer()
        running.agent(balancer.management_address, slots=2, name="one")
        template = ChatTemplate(TEMPLATE_WITH_TOOLS.read_text(encoding="utf-8"))
        state = msgspec.structs.replace(
            gemma_state(real_model_path), chat_template_override=template
        )
        balancer.put_state(state)
        balancer.wait_for_slots(2)
        yield balancer


def call_of(argument: str) -> str:
    """A grammar of one call with this argument, which is a rule of GBNF."""
    return (
        'root ::= "<tool_call>\\n{\\"name\\": \\"get_weather\\", \\"arguments\\": {" '
        + argument
        + ' "}}\\n</tool_call>"'
    )


def results(fleet: RealBalancer, grammar: str) -> list[dict[str, object]]:
    """What comes back, without the envelopes."""
    body = {
        "conversation_history": [{"role": "user", "content": "Is it raining in Rome?"}],
        "add_generation_prompt": True,
        "enable_thinking": False,
        "max_tokens": 60,
        "tools": [WEATHER],
        "parse_tool_calls": True,
        "grammar": {"type": "gbnf", "grammar": grammar, "root": "root"},
    }
    url = f"{fleet.inference_url}/api/v1/continue_from_conversation_history"
    answer = httpx.post(url, json=body, timeout=LIMIT_S, trust_env=False)
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    return [line["Response"]["response"]["GeneratedToken"] for line in lines]


def test_a_forced_call_is_streamed_parsed_and_counted(fleet: RealBalancer) -> None:
    *tokens, parsed, done = results(fleet, call_of(r'"\"city\": \"" ("Oslo" | "Rome") "\""'))
    assert [key for token in tokens for key in token] == ["ToolCallToken"] * len(tokens)
    assert "".join(str(token["ToolCallToken"]) for token in tokens).startswith("<tool_call>")
    call = {"id": ANY, "name": "get_weather", "arguments": {"ValidJson": {"city": ANY}}}
    assert parsed == {"ToolCallParsed": [call]}
    usage = msgspec.convert(done, dict[str, dict[str, Usage]])["Done"]["usage"]
    assert usage.tool_call_tokens > 5
    assert usage.content_tokens == usage.reasoning_tokens == usage.undeterminable_tokens == 0


def test_a_call_whose_arguments_do_not_fit_the_schema_says_so(fleet: RealBalancer) -> None:
    *_, failed, done = results(fleet, call_of(r'"\"city\": " [1-9]'))
    assert list(failed) == ["ToolCallValidationFailed"]
    assert "city" in str(failed)
    assert "Done" in done


def test_a_broken_grammar_is_told_what_is_wrong_and_where(fleet: RealBalancer) -> None:
    (only,) = results(fleet, 'root ::= "yes" | no\nno = "no"')
    assert only == {"GrammarInitializationFailed": 'line 2, column 4: expecting ::=, not `= "no"`'}
