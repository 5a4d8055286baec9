"""Chat completions, whole and streamed, with scripted agents behind real links."""

from __future__ import annotations

import json

import httpx
import msgspec
import pytest
import trio

from paddler.messages.generation import (
    Alternative,
    FinishReason,
    GenerationEvent,
    TokenClass,
    TokenEvent,
    TokenLogprobs,
    ToolCall,
    ToolCallDelta,
    ToolCallParseFailed,
    ToolCallsParsed,
)
from paddler.messages.link import Generate
from tests.balancer.services.openai.serving import (
    answer_one,
    chat,
    choices_of,
    chunks_of,
    delta_of,
    ended,
    next_data,
    openai_balancer,
    streaming,
    text,
)

TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
CALL = ToolCall(id="c1", name="now", arguments_json='{"zone":"UTC"}', arguments_valid=True)
CALL_TEXT = text('<call>{"zone":"UTC"}</call>', TokenClass.TOOL_CALL)


async def ask(
    *events: GenerationEvent, **body: object
) -> tuple[httpx.Response, list[dict[str, object]], Generate]:
    """The same request whole and streamed, each answered with `events`."""
    tasks: list[Generate] = []

    async def serve() -> None:
        tasks.append(await answer_one(agent, *events))
        tasks.append(await answer_one(agent, *events))

    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(serve)
        whole = await chat(balancer, **body)
        async with streaming(balancer, **body) as client:
            chunks = await chunks_of(client)
            assert client.headers["content-type"] == "text/event-stream"
    return whole, chunks, tasks[0]


async def test_an_answer_has_openais_shape() -> None:
    whole, chunks, _ = await ask(text("Hel"), text("lo"), ended())
    body = whole.json()
    assert body["id"].startswith("chatcmpl-")
    assert body["object"] == "chat.completion"
    assert body["model"] == "model"
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"]["prompt_tokens"] == 7
    assert body["usage"]["completion_tokens"] == 2
    assert body["usage"]["total_tokens"] == 9
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 5
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_the_role_comes_first_and_only_once() -> None:
    _, chunks, _ = await ask(text("Hel"), text("lo"), ended())
    assert delta_of(chunks[0])["role"] == "assistant"
    assert not any("role" in delta_of(chunk) for chunk in chunks[1:])
    assert "".join(str(delta_of(chunk).get("content", "")) for chunk in chunks) == "Hello"
    reasons = [choices_of(chunk)[0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]


async def test_streams_carry_usage_only_if_asked_for() -> None:
    _, without, _ = await ask(ended())
    assert not any("usage" in chunk for chunk in without)
    _, chunks, _ = await ask(ended(reasoning_tokens=4), stream_options={"include_usage": True})
    assert choices_of(chunks[-1]) == []
    usage = chunks[-1]["usage"]
    assert isinstance(usage, dict)
    assert usage["completion_tokens"] == 6
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 4
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


async def test_a_full_answer_ends_with_length() -> None:
    whole, chunks, _ = await ask(text("Hel"), ended(FinishReason.MAX_TOKENS))
    assert whole.json()["choices"][0]["finish_reason"] == "length"
    assert choices_of(chunks[-1])[0]["finish_reason"] == "length"


async def test_thoughts_arrive_as_reasoning_content() -> None:
    whole, chunks, _ = await ask(text("hm", TokenClass.REASONING), text("Yes"), ended())
    message = whole.json()["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"
    assert message["content"] == "Yes"
    deltas = [delta_of(chunk) for chunk in chunks]
    assert {"reasoning_content": "hm"} in deltas
    assert {"content": "Yes"} in deltas


async def test_tool_calls_arrive_as_calls_and_not_as_text() -> None:
    whole, chunks, generate = await ask(
        CALL_TEXT, ToolCallsParsed([CALL, CALL]), ended(), tools=[TOOL]
    )
    choice = whole.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    function = {"name": "now", "arguments": '{"zone":"UTC"}'}
    assert (
        choice["message"]["tool_calls"]
        == [{"id": "c1", "type": "function", "function": function}] * 2
    )
    deltas = [call for chunk in chunks for call in _call_deltas(chunk)]
    assert [delta["index"] for delta in deltas] == [0, 0, 1, 1]
    assert deltas[0] == {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "now", "arguments": ""},
    }
    assert deltas[1] == {"index": 0, "function": {"arguments": '{"zone":"UTC"}'}}
    assert choices_of(chunks[-1])[0]["finish_reason"] == "tool_calls"
    assert generate.order.parse_tool_calls
    assert not generate.order.validate_tool_calls


def delta(offset: int, arguments: str, position: int = 0, call_id: str = "c1") -> ToolCallDelta:
    return ToolCallDelta(position, call_id, "now", offset, arguments)


async def test_a_call_is_streamed_in_pieces() -> None:
    pieces: list[GenerationEvent] = [delta(0, "{"), CALL_TEXT, delta(1, '"zone":'), delta(8, '"UT')]
    whole, chunks, _ = await ask(*pieces, ToolCallsParsed([CALL]), ended(), tools=[TOOL])
    calls = [call for chunk in chunks for call in _call_deltas(chunk)]
    assert [call.get("id") for call in calls] == ["c1"] + [None] * (len(calls) - 1)
    assert calls[0]["function"] == {"name": "now", "arguments": ""}
    assert "".join(_arguments(call) for call in calls) == CALL.arguments_json
    assert _arguments(whole.json()["choices"][0]["message"]["tool_calls"][0]) == CALL.arguments_json
    assert choices_of(chunks[-1])[0]["finish_reason"] == "tool_calls"


async def test_an_agent_that_takes_over_begins_the_call_again_and_nobody_sees_it() -> None:
    pieces = [
        delta(0, '{"zone":'),
        delta(8, '"U'),
        delta(0, '{"zone', call_id="other"),
        delta(6, '":"UT', call_id="other"),
    ]
    parsed = ToolCallsParsed([msgspec.structs.replace(CALL, id="other")])
    _, chunks, _ = await ask(*pieces, parsed, ended(), tools=[TOOL])
    calls = [call for chunk in chunks for call in _call_deltas(chunk)]
    assert [call["id"] for call in calls if "id" in call] == ["c1"]
    assert "".join(_arguments(call) for call in calls) == CALL.arguments_json


async def test_a_call_that_turns_out_otherwise_breaks_the_stream() -> None:
    parsed = ToolCallsParsed([CALL])
    async with openai_balancer() as balancer:
        agent = await balancer.join()
        async with streaming(balancer, tools=[TOOL]) as client:
            await answer_one(agent, delta(0, '{"place'), parsed, ended())
            while "error" not in (data := json.loads(await next_data(client))):
                pass
            assert data["error"]["type"] == "server_error"
            assert await next_data(client) == "[DONE]"


@pytest.mark.parametrize(
    ("reason", "is_whole", "expected"),
    [
        (FinishReason.END_OF_GENERATION, True, "tool_calls"),
        (FinishReason.MAX_TOKENS, True, "tool_calls"),
        (FinishReason.STOP_STRING, True, "tool_calls"),
        (FinishReason.END_OF_GENERATION, False, "tool_calls"),
        (FinishReason.MAX_TOKENS, False, "length"),
        (FinishReason.CONTEXT_FULL, False, "length"),
        (FinishReason.STOP_STRING, False, "stop"),
    ],
)
async def test_why_an_answer_with_a_call_ended(
    reason: FinishReason, is_whole: bool, expected: str
) -> None:
    call = CALL
    if not is_whole:
        call = msgspec.structs.replace(CALL, arguments_json='{"zo', arguments_valid=False)
    whole, chunks, _ = await ask(CALL_TEXT, ToolCallsParsed([call]), ended(reason), tools=[TOOL])
    choice = whole.json()["choices"][0]
    assert choice["finish_reason"] == expected
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == call.arguments_json
    assert choices_of(chunks[-1])[0]["finish_reason"] == expected


async def test_what_only_looked_like_a_tool_call_is_content() -> None:
    whole, chunks, _ = await ask(
        text("So: "), CALL_TEXT, ToolCallParseFailed("no call"), ended(), tools=[TOOL]
    )
    choice = whole.json()["choices"][0]
    assert choice["message"]["content"] == "So: " + CALL_TEXT.text
    assert choice["finish_reason"] == "stop"
    assert "".join(str(delta_of(chunk).get("content", "")) for chunk in chunks) == (
        "So: " + CALL_TEXT.text
    )


async def test_logprobs_cover_the_answers_tokens() -> None:
    half = Alternative(5, "é".encode()[:1], -0.5)
    tokens = [TokenLogprobs(half, [half, Alternative(6, b"e", float("-inf"))])]
    whole, chunks, generate = await ask(
        TokenEvent(TokenClass.CONTENT, "", [5], tokens),
        TokenEvent(TokenClass.CONTENT, "é", [6], tokens),
        ended(),
        logprobs=True,
        top_logprobs=2,
    )
    assert generate.order.n_logprobs == 2
    content = whole.json()["choices"][0]["logprobs"]["content"]
    assert len(content) == 2
    assert content[0]["bytes"] == [0xC3]
    assert content[0]["logprob"] == -0.5
    assert [top["logprob"] for top in content[0]["top_logprobs"]] == [-0.5, -9999.0]
    streamed = [choices_of(chunk)[0]["logprobs"] for chunk in chunks]
    assert sum(len(each["content"]) for each in streamed if isinstance(each, dict)) == 2


async def test_tokens_that_wait_together_share_a_chunk() -> None:
    _, chunks, _ = await ask(*[text("a")] * 50, ended())
    assert len(chunks) < 50


async def test_head_and_role_leave_before_the_first_token() -> None:
    async with openai_balancer() as balancer:
        agent = await balancer.join()
        async with streaming(balancer) as client:
            await answer_one(agent)
            await client.read_head()
            assert json.loads((await client.line()).removeprefix("data: "))["choices"][0][
                "delta"
            ] == {"role": "assistant", "content": "", "refusal": None}


def _arguments(call: dict[str, object]) -> str:
    function = call["function"]
    assert isinstance(function, dict)
    return str(function["arguments"])


def _call_deltas(chunk: dict[str, object]) -> list[dict[str, object]]:
    calls = delta_of(chunk).get("tool_calls", [])
    assert isinstance(calls, list)
    return calls
