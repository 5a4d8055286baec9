"""PyPI's `openai` client: chat completions of the real model."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.support.openai_clients import MODEL, async_client_of, checked, client_of, run
from tests.support.real_programs import RealBalancer

pytestmark = pytest.mark.model

CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "London"]}},
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string", "enum": ["UTC", "CET"]}},
            "required": ["zone"],
        },
    },
}


@pytest.fixture
def client(openai_fleet: RealBalancer) -> Iterator[openai.OpenAI]:
    with client_of(openai_fleet.url("openai")) as opened:
        yield opened


def ask(client: openai.OpenAI, **options: object) -> ChatCompletion:
    request = {"model": MODEL, "messages": CAPITAL, "max_tokens": 8, **options}
    answer = client.chat.completions.create(**request)  # type: ignore[call-overload]  # a test's
    assert isinstance(answer, ChatCompletion)
    return checked(answer)


def stream(client: openai.OpenAI, **options: object) -> list[ChatCompletionChunk]:
    request = {"model": MODEL, "messages": CAPITAL, "max_tokens": 8, **options}
    chunks = client.chat.completions.create(**request, stream=True)  # type: ignore[call-overload]  # a test's
    return [checked(chunk) for chunk in chunks]


def text_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    return "".join(
        choice.delta.content or ""
        for chunk in chunks
        for choice in chunk.choices
        if choice.index == index
    )


def test_an_answer_whole_and_streamed_is_the_same(client: openai.OpenAI) -> None:
    whole = ask(client, temperature=0)
    chunks = stream(client, temperature=0, stream_options={"include_usage": True})
    content = whole.choices[0].message.content
    assert content
    assert text_of(chunks) == content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.role for chunk in chunks[1:-1]] == [None] * (len(chunks) - 2)
    assert whole.choices[0].finish_reason == "length"
    usage, streamed = whole.usage, chunks[-1].usage
    assert usage is not None
    assert streamed is not None
    assert usage.completion_tokens == streamed.completion_tokens == 8
    assert usage.prompt_tokens == streamed.prompt_tokens > 8
    assert usage.total_tokens == usage.prompt_tokens + 8
    assert streamed.prompt_tokens_details is not None
    # The same prompt again: everything but the last token comes out of the cache.
    assert streamed.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1


def test_the_asynchronous_client(openai_fleet: RealBalancer) -> None:
    async def work() -> tuple[str | None, str]:
        async with async_client_of(openai_fleet.url("openai")) as client:
            whole = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "Hi"}], max_tokens=4, seed=1
            )
            text = ""
            async for chunk in await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": "Hi"}],
                max_tokens=4,
                seed=1,
                stream=True,
            ):
                text += checked(chunk).choices[0].delta.content or ""
            return checked(whole).choices[0].message.content, text

    whole, streamed = run(work())
    assert whole == streamed


def test_the_clients_own_stream_helper_puts_the_answer_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": "Hi"}],
        max_tokens=8,
        stream_options={"include_usage": True},
        extra_body={"grammar": 'root ::= "Hello" " there"?'},
    ) as events:
        types = {event.type for event in events}
        final = events.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= types
    assert final.choices[0].message.content in ("Hello", "Hello there")
    assert final.choices[0].finish_reason == "stop"
    assert final.usage is not None


def test_several_choices(client: openai.OpenAI) -> None:
    whole = ask(client, n=3, temperature=1.5, top_p=1, seed=7)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in whole.choices}) > 1
    assert whole.usage is not None
    assert whole.usage.completion_tokens <= 24
    chunks = stream(client, n=3, temperature=1.5, top_p=1, seed=7)
    assert all(text_of(chunks, index) for index in range(3))


def test_logprobs(client: openai.OpenAI) -> None:
    whole = ask(client, logprobs=True, top_logprobs=3, temperature=0)
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content) == 8
    assert "".join(token.token for token in logprobs.content) == whole.choices[0].message.content
    for token in logprobs.content:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3
        assert bytes(token.bytes or []).decode() == token.token
    assert ask(client).choices[0].logprobs is None


def test_a_seed_makes_answers_repeatable_and_temperature_zero_too(client: openai.OpenAI) -> None:
    for options in ({"seed": 11, "temperature": 1.2}, {"temperature": 0}):
        first, second = (ask(client, **options).choices[0].message.content for _ in range(2))
        assert first == second


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(client: openai.OpenAI) -> None:
    content = ask(client, temperature=0).choices[0].message.content
    assert content
    word = content.split()[2]
    stopped = ask(client, temperature=0, stop=[word])
    assert stopped.choices[0].message.content == content.partition(word)[0]
    assert stopped.choices[0].finish_reason == "stop"


def test_a_forbidden_token_is_not_generated(client: openai.OpenAI) -> None:
    first = ask(client, temperature=0, max_tokens=1, logprobs=True)
    again = client.completions.create(model=MODEL, prompt="One, two,", max_tokens=1)
    assert first.choices[0].message.content is not None
    assert again.choices[0].text
    free = ask(client, temperature=0, max_tokens=1).choices[0].message.content
    banned = ask(
        client, temperature=0, max_tokens=1, logit_bias={str(token): -100 for token in range(500)}
    )
    assert banned.choices[0].message.content == free


def test_the_whole_shape_of_messages(client: openai.OpenAI) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Very brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "The weather?"}], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."},
    ]
    assert ask(client, messages=messages, tools=[WEATHER]).usage is not None


def test_a_required_call_is_made(client: openai.OpenAI) -> None:
    answer = ask(
        client,
        tools=[WEATHER, CLOCK],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=80,
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert len(calls) == 1
    assert calls[0].type == "function"
    assert calls[0].function.name in ("get_weather", "get_time")
    assert isinstance(json.loads(calls[0].function.arguments), dict)


def test_a_named_function_is_called_whole_and_streamed(client: openai.OpenAI) -> None:
    options = {
        "tools": [WEATHER, CLOCK],
        "tool_choice": {"type": "function", "function": {"name": "get_time"}},
        "max_tokens": 80,
    }
    calls = ask(client, **options).choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "get_time"
    assert json.loads(calls[0].function.arguments)["zone"] in ("UTC", "CET")

    chunks = stream(client, **options)
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert deltas[0].id
    assert [delta.id for delta in deltas[1:]] == [None] * (len(deltas) - 1)
    assert deltas[0].function is not None
    assert deltas[0].function.name == "get_time"
    arguments = "".join(
        delta.function.arguments or "" for delta in deltas if delta.function is not None
    )
    assert json.loads(arguments)["zone"] in ("UTC", "CET")
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert text_of(chunks) == ""


def test_a_call_is_streamed_while_it_is_written(client: openai.OpenAI) -> None:
    note = {"type": "string", "minLength": 60, "maxLength": 80}
    parameters = {"type": "object", "properties": {"note": note}, "required": ["note"]}
    options = {
        "tools": [{"type": "function", "function": {"name": "keep", "parameters": parameters}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_tokens": 200,
        "temperature": 0,
    }
    chunks = stream(client, **options)
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert len(deltas) > 5
    pieces = [delta.function.arguments or "" for delta in deltas if delta.function is not None]
    assert max(len(piece) for piece in pieces) < 60
    calls = ask(client, **options).choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert "".join(pieces) == calls[0].function.arguments
    assert len(json.loads("".join(pieces))["note"]) >= 60


def test_a_call_that_the_limit_cut_off_ends_for_its_length(client: openai.OpenAI) -> None:
    note = {"type": "string", "minLength": 200}
    parameters = {"type": "object", "properties": {"note": note}, "required": ["note"]}
    options = {
        "tools": [{"type": "function", "function": {"name": "keep", "parameters": parameters}}],
        "tool_choice": "required",
        "max_tokens": 40,
    }
    for choice in (ask(client, **options).choices[0], stream(client, **options)[-1].choices[0]):
        assert choice.finish_reason == "length"


def test_no_call_is_made_where_none_may_be(client: openai.OpenAI) -> None:
    answer = ask(client, tools=[WEATHER], tool_choice="none")
    assert answer.choices[0].message.tool_calls is None


def test_any_json_object(client: openai.OpenAI) -> None:
    answer = ask(
        client, response_format={"type": "json_object"}, max_tokens=200, temperature=0, seed=1
    )
    content = answer.choices[0].message.content
    assert content is not None
    assert content.startswith("{")
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(content), dict)


def test_an_answer_that_fits_a_schema_or_a_call(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"sunny": {"type": "boolean"}},
        "required": ["sunny"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    message = (
        ask(client, tools=[WEATHER], response_format=wanted, max_tokens=100).choices[0].message
    )
    if message.tool_calls:
        assert message.tool_calls[0].type == "function"
        assert json.loads(message.tool_calls[0].function.arguments)["city"] in ("Paris", "London")
    else:
        assert isinstance(json.loads(message.content or "")["sunny"], bool)
