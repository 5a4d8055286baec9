"""Responses: input items, the response object, and the typed events of a stream."""

from __future__ import annotations

import json

import httpx
import trio

from paddler.balancer.services.openai.limits import OpenAiLimits
from paddler.balancer.services.openai.responses_request import ResponsesRequest, responses_order
from paddler.messages.conversation import (
    ImagePart,
    ImageUrl,
    Message,
    RequestedToolCall,
    TextPart,
)
from paddler.messages.decoding import decode_json
from paddler.messages.generation import (
    ConversationPrompt,
    FinishReason,
    GenerationEvent,
    GenerationFailed,
    GenerationFailure,
    GenerationOrder,
    TokenClass,
    ToolCall,
    ToolCallDelta,
    ToolCallsParsed,
    ToolChoice,
)
from paddler.messages.grammar import JsonSchemaGrammar
from tests.balancer.services.openai.serving import (
    RESPONSES,
    answer_one,
    ended,
    openai_balancer,
    post,
    streaming,
    text,
)

TOOL = {"type": "function", "name": "now", "parameters": {"type": "object"}, "strict": True}
CALL = ToolCall(id="c1", name="now", arguments_json='{"zone":"UTC"}', arguments_valid=True)


def order_of(**body: object) -> GenerationOrder:
    return responses_order(decode_json(json.dumps(body), ResponsesRequest), OpenAiLimits())


def messages_of(**body: object) -> list[Message]:
    prompt = order_of(**body).prompt
    assert isinstance(prompt, ConversationPrompt)
    return prompt.messages


async def ask(*events: GenerationEvent, **body: object) -> httpx.Response:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(answer_one, agent, *events)
        return await post(balancer, RESPONSES, **{"input": "Hello", **body})


async def events_of(*events: GenerationEvent, **body: object) -> list[dict[str, object]]:
    found = []
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(answer_one, agent, *events)
        async with streaming(balancer, RESPONSES, **{"input": "Hello", **body}) as client:
            names = []
            while line := await client.line():
                names.append(line.removeprefix("event: "))
                found.append(json.loads((await client.line()).removeprefix("data: ")))
                assert await client.line() == ""
    assert names == [event["type"] for event in found]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def types_of(events: list[dict[str, object]]) -> list[str]:
    return [str(event["type"]).removeprefix("response.") for event in events]


def test_text_is_a_users_message_and_instructions_precede_it() -> None:
    assert messages_of(input="Hi", instructions="Be brief") == [
        Message(role="system", content="Be brief"),
        Message(role="user", content="Hi"),
    ]


def test_items_become_messages_calls_and_results() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Time?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [_reasoning("hm")]},
        {"type": "function_call", "call_id": "c1", "name": "now", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "now", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "noon"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Noon.", "annotations": []}],
        },
    ]
    calls = [RequestedToolCall(id=call_id, name="now", arguments="{}") for call_id in ("c1", "c2")]
    assert messages_of(input=items) == [
        Message(role="user", content=[TextPart("Time?")]),
        Message(role="assistant", reasoning_content="hm", tool_calls=calls),
        Message(role="tool", content="noon", tool_call_id="c1"),
        Message(role="assistant", content=[TextPart("Noon.")]),
    ]


def test_images_are_passed_on() -> None:
    part = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"}
    messages = messages_of(input=[{"role": "user", "content": [part]}])
    assert messages[0].content == [ImagePart(ImageUrl("data:image/png;base64,AA=="))]


def test_options_reach_the_task() -> None:
    order = order_of(
        input="Hi",
        max_output_tokens=9,
        tools=[TOOL],
        tool_choice={"type": "function", "name": "now"},
        reasoning={"effort": "low"},
        include=["message.output_text.logprobs"],
        top_logprobs=3,
        temperature=0.1,
    )
    assert isinstance(order.prompt, ConversationPrompt)
    assert order.prompt.tool_choice is ToolChoice.REQUIRED
    assert order.prompt.template_arguments == {"reasoning_effort": '"low"'}
    assert order.max_tokens == 9
    assert order.n_logprobs == 3
    assert order.sampling.temperature == 0.1


def test_a_format_becomes_a_grammar_and_turns_thinking_off() -> None:
    wanted = {"type": "json_schema", "name": "x", "schema": {"type": "integer"}, "strict": True}
    order = order_of(input="Hi", text={"format": wanted})
    assert order.grammar == JsonSchemaGrammar('{"type":"integer"}')
    assert isinstance(order.prompt, ConversationPrompt)
    assert not order.prompt.enable_thinking


async def test_a_response_has_openais_shape() -> None:
    answer = await ask(text("Hel"), text("lo"), ended(), metadata={"a": "b"}, tools=[TOOL])
    body = answer.json()
    assert body["id"].startswith("resp_")
    assert body["object"] == "response"
    assert body["status"] == "completed"
    assert body["error"] is None
    assert body["metadata"] == {"a": "b"}
    assert body["tools"] == [TOOL]
    assert body["tool_choice"] == "auto"
    item = body["output"][0]
    assert item["type"] == "message"
    assert item["role"] == "assistant"
    assert item["content"] == [
        {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    ]
    assert body["usage"]["input_tokens"] == 7
    assert body["usage"]["input_tokens_details"]["cached_tokens"] == 5
    assert body["usage"]["total_tokens"] == 9


async def test_a_full_response_is_incomplete_and_says_why() -> None:
    body = (await ask(text("Hel"), ended(FinishReason.MAX_TOKENS))).json()
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert body["output"][0]["status"] == "incomplete"


async def test_an_answer_without_tokens_is_an_empty_message() -> None:
    body = (await ask(ended())).json()
    assert body["output"][0]["content"][0]["text"] == ""


async def test_the_events_of_a_text() -> None:
    events = await events_of(text("Hel"), ended())
    assert types_of(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[4]["delta"] == "Hel"
    assert events[4]["logprobs"] == []
    added, done = events[2]["item"], events[7]["item"]
    assert isinstance(added, dict)
    assert isinstance(done, dict)
    assert added["status"] == "in_progress"
    assert added["id"] == done["id"] == events[4]["item_id"]
    final = events[-1]["response"]
    assert isinstance(final, dict)
    assert final["output"] == [done]
    assert final["usage"]["output_tokens"] == 2


async def test_the_events_of_thoughts_and_a_call() -> None:
    events = await events_of(
        text("hm", TokenClass.REASONING),
        text("<call>", TokenClass.TOOL_CALL),
        ToolCallsParsed([CALL]),
        ended(),
        tools=[TOOL],
    )
    assert types_of(events)[2:-1] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    call = events[-2]["item"]
    assert isinstance(call, dict)
    assert call["type"] == "function_call"
    assert call["call_id"] == "c1"
    assert call["name"] == "now"
    assert call["arguments"] == '{"zone":"UTC"}'
    assert events[-2]["output_index"] == 1


async def test_the_events_of_calls_in_pieces_and_a_text_in_between() -> None:
    second = ToolCall(id="c2", name="now", arguments_json="{}", arguments_valid=True)
    events = await events_of(
        ToolCallDelta(0, "c1", "now", 0, '{"zone"'),
        text("and"),
        ToolCallDelta(0, "c1", "now", 7, ':"UTC"}'),
        ToolCallDelta(1, "c2", "now", 0, "{"),
        ToolCallsParsed([CALL, second]),
        ended(),
        tools=[TOOL],
    )
    arguments: dict[object, str] = {}
    for event in events:
        if event["type"] == "response.function_call_arguments.delta":
            index = event["output_index"]
            arguments[index] = arguments.get(index, "") + str(event["delta"])
    response = events[-1]["response"]
    assert isinstance(response, dict)
    output = response["output"]
    calls = {i: item for i, item in enumerate(output) if item["type"] == "function_call"}
    assert [call["call_id"] for call in calls.values()] == ["c1", "c2"]
    assert {i: call["arguments"] for i, call in calls.items()} == arguments
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert {event["output_index"]: event["item"] for event in done} == dict(enumerate(output))


async def test_a_call_that_was_cut_off_is_incomplete() -> None:
    cut = ToolCall(id="c1", name="now", arguments_json='{"zo', arguments_valid=False)
    events = await events_of(ToolCallsParsed([cut]), ended(FinishReason.MAX_TOKENS), tools=[TOOL])
    assert events[-1]["type"] == "response.incomplete"
    response = events[-1]["response"]
    assert isinstance(response, dict)
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"


async def test_a_failed_stream_ends_with_the_failed_response() -> None:
    failed = GenerationFailed(GenerationFailure.SAMPLER_ERROR, "out of luck")
    async with openai_balancer() as balancer:
        agent = await balancer.join()
        async with streaming(balancer, RESPONSES, input="Hello") as client:
            generate = await answer_one(agent, text("Hel"))
            line = ""
            while "output_text.delta" not in line:
                line = await client.line()
            await agent.events(generate.request_id, failed)
            lines = []
            while line != "event: response.failed":
                line = await client.line()
                lines.append(line)
            response = json.loads((await client.line()).removeprefix("data: "))["response"]
        assert response["status"] == "failed"
        assert response["error"] == {"code": "server_error", "message": "out of luck"}
        assert response["output"][0]["content"][0]["text"] == "Hel"


def _reasoning(words: str) -> dict[str, str]:
    return {"type": "reasoning_text", "text": words}
