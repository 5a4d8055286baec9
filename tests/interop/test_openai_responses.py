"""PyPI's `openai` client: responses of the real model."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from tests.support.openai_clients import (
    MODEL,
    async_client_of,
    checked,
    checked_event,
    client_of,
    run,
)
from tests.support.real_programs import RealBalancer

pytestmark = pytest.mark.model

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "London"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture
def client(openai_fleet: RealBalancer) -> Iterator[openai.OpenAI]:
    with client_of(openai_fleet.url("openai")) as opened:
        yield opened


def ask(client: openai.OpenAI, **options: object) -> Response:
    request = {"model": MODEL, "input": "Hello", "max_output_tokens": 6, **options}
    answer = client.responses.create(**request)  # type: ignore[call-overload]  # a test's
    assert isinstance(answer, Response)
    return checked(answer)


def stream(client: openai.OpenAI, **options: object) -> list[ResponseStreamEvent]:
    request = {"model": MODEL, "input": "Hello", "max_output_tokens": 6, **options}
    events = client.responses.create(**request, stream=True)  # type: ignore[call-overload]  # a test's
    found = [checked_event(event) for event in events]
    assert [event.sequence_number for event in found] == list(range(len(found)))
    return found


def test_a_response_whole_and_streamed_is_the_same(client: openai.OpenAI) -> None:
    whole = ask(client, temperature=0)
    events = stream(client, temperature=0)
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text != ""
    assert whole.status == "incomplete"
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text == whole.output_text
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == 6
    assert last.response.usage.input_tokens_details.cached_tokens > 0


def test_items_instructions_and_sampling(client: openai.OpenAI) -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Again?"},
    ]
    answer = ask(client, input=items, instructions="Be brief", temperature=0.3, top_p=0.9)
    assert answer.instructions == "Be brief"
    assert answer.temperature == 0.3


def test_a_function_is_called_and_its_output_goes_back(client: openai.OpenAI) -> None:
    options = {
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "name": "get_weather"},
        "max_output_tokens": 80,
    }
    question = {"role": "user", "content": "The weather in Paris?"}
    answer = ask(client, input=[question], **options)
    call = answer.output[0]
    assert call.type == "function_call"
    assert call.name == "get_weather"
    assert json.loads(call.arguments)["city"] in ("Paris", "London")
    assert answer.status == "completed"
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    again = ask(client, input=[question, call.to_dict(), result], tools=[WEATHER])
    assert again.usage is not None

    events = stream(client, input=[question], **options)
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert len(done) == 1
    pieces = [
        event.delta for event in events if event.type == "response.function_call_arguments.delta"
    ]
    assert "".join(pieces) == done[0].arguments
    assert events[-1].type == "response.completed"


def test_a_structured_response(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": ["yes", "no"]}, "score": {"type": "integer"}},
        "required": ["answer", "score"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "name": "verdict", "schema": schema, "strict": True}
    answer = ask(client, text={"format": wanted}, max_output_tokens=80)
    verdict = json.loads(answer.output_text)
    assert verdict["answer"] in ("yes", "no")
    assert isinstance(verdict["score"], int)


def test_logprobs_are_included_if_asked_for(client: openai.OpenAI) -> None:
    answer = ask(client, include=["message.output_text.logprobs"], top_logprobs=2)
    message = answer.output[0]
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert len(part.logprobs) == 6
    assert len(part.logprobs[0].top_logprobs) == 2


def test_the_asynchronous_client_and_its_stream_helper(openai_fleet: RealBalancer) -> None:
    async def work() -> tuple[str, str]:
        async with async_client_of(openai_fleet.url("openai")) as client:
            whole = await client.responses.create(
                model=MODEL, input="Hello", max_output_tokens=5, temperature=0
            )
            async with client.responses.stream(
                model=MODEL, input="Hello", max_output_tokens=5, temperature=0
            ) as events:
                text = ""
                async for event in events:
                    if event.type == "response.output_text.delta":
                        text += event.delta
            return whole.output_text, text

    whole, streamed = run(work())
    assert whole == streamed != ""


@pytest.mark.parametrize(("field", "value"), [("store", True), ("previous_response_id", "resp_1")])
def test_what_would_need_a_memory_is_refused(
    client: openai.OpenAI, field: str, value: object
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **{field: value})
    assert refused.value.param == field
