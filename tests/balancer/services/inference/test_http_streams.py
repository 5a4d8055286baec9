"""The inference service over HTTP, with scripted agents behind real links."""

from __future__ import annotations

import json

import httpx
import msgspec
import pytest
import trio

from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.messages.generation import (
    GenerationFailed,
    GenerationFailure,
    GenerationRefused,
    GenerationStarted,
    TokenClass,
    TokenEvent,
)
from tests.support.line_clients import asking
from tests.support.running_balancer import RunningBalancer, running_balancer, until
from tests.support.scripted_agents import ScriptedAgent, done, model_description, token

RAW = "/api/v1/continue_from_raw_prompt"
CONVERSATION = "/api/v1/continue_from_conversation_history"
PROMPT = {"raw_prompt": "Once", "max_tokens": 8}
HELLO_CONVERSATION = {
    "conversation_history": [{"role": "user", "content": "Hello"}],
    "add_generation_prompt": True,
    "enable_thinking": False,
    "max_tokens": 8,
}


async def post(balancer: RunningBalancer, body: object = PROMPT, path: str = RAW) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body)
    return await balancer.http.post(balancer.inference_url + path, content=content)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    envelope = answer.json()["Error"]
    assert envelope["error"]["code"] == answer.status_code
    assert envelope["request_id"]
    return envelope["error"]["code"], envelope["error"]["description"]


def result_of(line: str) -> object:
    return json.loads(line)["Response"]["response"]["GeneratedToken"]


async def answer_one(agent: ScriptedAgent, *texts: str) -> None:
    generate = await agent.next_generate()
    started = GenerationStarted(slot=0, prompt_tokens=3, cached_prompt_tokens=2)
    await agent.events(generate.request_id, started)
    for text in texts:
        await agent.events(generate.request_id, token(text))
    end = done(prompt_tokens=3, cached_prompt_tokens=2, content_tokens=len(texts))
    await agent.events(generate.request_id, end)


async def test_tokens_arrive_as_lines_in_the_contracts_shape() -> None:
    async with running_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(answer_one, agent, "upon", " a ünï", '\n time"')
        answer = await post(balancer)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-cache"
    envelopes = [json.loads(line)["Response"] for line in answer.text.splitlines()]
    assert {envelope["generated_by"] for envelope in envelopes} == {"a1"}
    assert len({envelope["request_id"] for envelope in envelopes}) == 1
    results = [envelope["response"]["GeneratedToken"] for envelope in envelopes]
    assert "".join(result["ContentToken"] for result in results[:-1]) == 'upon a ünï\n time"'
    assert results[-1] == {
        "Done": {
            "usage": {
                "prompt_tokens": 3,
                "cached_prompt_tokens": 2,
                "input_image_tokens": 0,
                "input_audio_tokens": 0,
                "content_tokens": 3,
                "reasoning_tokens": 0,
                "tool_call_tokens": 0,
                "undeterminable_tokens": 0,
            }
        }
    }


async def test_every_token_leaves_as_soon_as_it_exists() -> None:
    async with running_balancer() as balancer:
        agent = await balancer.join()
        async with asking(balancer.inference_url, RAW, PROMPT) as client:
            generate = await agent.next_generate()
            for text in ("one", "two", "three"):
                await agent.events(generate.request_id, token(text))
                assert await client.result() == {"ContentToken": text}
            await agent.events(generate.request_id, done())
            assert "Done" in await client.result()


async def test_timings_come_only_when_asked_for() -> None:
    async with running_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(answer_one, agent, "x")
        answer = await post(balancer, {**PROMPT, "include_timings": True})
    timings = json.loads(answer.text.splitlines()[-1])["Response"]["response"]["GeneratedToken"][
        "Done"
    ]["timings"]
    assert set(timings) == {
        "buffered_ms",
        "prefill_ms",
        "ttft_ms",
        "decode_ms",
        "tokens_per_second",
        "cached_prompt_tokens",
        "slot",
    }
    assert timings["cached_prompt_tokens"] == 2
    assert timings["ttft_ms"] > 0


async def test_a_conversation_reaches_the_agent_with_all_its_parts() -> None:
    asked = {
        **HELLO_CONVERSATION,
        "enable_thinking": True,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tells it.",
                    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                },
            }
        ],
        "parse_tool_calls": True,
        "sampling": {"temperature": 0, "seed": 7},
        "stop": ["\n\n"],
        "conversation_id": "c1",
    }
    async with running_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(post, balancer, asked, CONVERSATION)
        generate = await agent.next_generate()
        task = msgspec.to_builtins(generate.order)
        await agent.events(generate.request_id, done())
    assert task["prompt"]["messages"] == [{"role": "user", "content": "Hello"}]
    assert task["prompt"]["enable_thinking"] is True
    assert task["prompt"]["tools"][0]["parameters"]["properties"] == {"city": {"type": "string"}}
    assert task["parse_tool_calls"] is True
    assert task["sampling"] == {"temperature": 0, "seed": 7}
    assert task["stop"] == ["\n\n"]
    assert task["conversation_id"] == "c1"
    assert task["max_tokens"] == 8


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", ["JSON"]),
        (b"\xff\xfe", ["JSON"]),
        ({}, ["raw_prompt"]),
        ({**PROMPT, "surprise": 1}, ["surprise", "allowed are", "max_tokens"]),
        ({**PROMPT, "max_tokens": 0}, ["max_tokens"]),
        ({**PROMPT, "max_tokens": "8"}, ["max_tokens"]),
        ({**PROMPT, "stop": ["x"] * 17}, ["stop"]),
        ({**PROMPT, "sampling": {"temperature": -1}}, ["sampling.temperature"]),
        ({**PROMPT, "grammar": {"type": "other"}}, ["grammar"]),
        (b"[" * 100_000, []),
    ],
)
async def test_a_body_outside_the_contract_gets_400_and_the_place(
    body: object, words: list[str]
) -> None:
    async with running_balancer() as balancer:
        code, description = error_of(await post(balancer, body))
        assert code == 400
        for word in words:
            assert word in description


async def test_too_many_tools_get_400() -> None:
    tool = {"type": "function", "function": {"name": "t", "description": "d"}}
    async with running_balancer() as balancer:
        body = {**HELLO_CONVERSATION, "tools": [tool] * 257}
        code, description = error_of(await post(balancer, body, CONVERSATION))
        assert (code, "$.tools" in description) == (400, True)


async def test_a_full_buffer_gets_503_and_retry_after() -> None:
    async with running_balancer(max_buffered_requests=0) as balancer:
        answer = await post(balancer)
        assert error_of(answer)[0] == 503
        assert answer.headers["Retry-After"] == "1"


async def test_a_wait_that_is_too_long_gets_504() -> None:
    async with running_balancer(buffered_request_timeout_s=0.2) as balancer:
        code, description = error_of(await post(balancer))
        assert (code, description) == (
            504,
            "no slot became free within 200 ms: no agent is connected",
        )


async def test_a_model_for_embeddings_only_gets_501() -> None:
    def embeds_only(agent: ScriptedAgent) -> None:
        agent.model = model_description(can_generate=False, can_embed=True)

    async with running_balancer() as balancer:
        await balancer.join(setup=embeds_only)
        assert error_of(await post(balancer))[0] == 501


async def test_a_body_above_the_limit_gets_413() -> None:
    async with running_balancer(
        desired=None, edge_limits=EdgeLimits(max_body_bytes=100)
    ) as balancer:
        answer = await post(balancer, {**PROMPT, "raw_prompt": "x" * 100})
        assert error_of(answer)[0] == 413


@pytest.mark.parametrize(("method", "path", "status"), [("GET", RAW, 405), ("POST", "/x", 404)])
async def test_wrong_paths_and_methods_are_told_in_an_envelope(
    method: str, path: str, status: int
) -> None:
    async with running_balancer() as balancer:
        answer = await balancer.http.request(method, balancer.inference_url + path)
        assert error_of(answer)[0] == status


async def test_a_request_that_the_agent_refuses_ends_with_an_error_envelope() -> None:
    async with running_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()

        async def refuse() -> None:
            generate = await agent.next_generate()
            refused = GenerationRefused(400, "the prompt has 9000 tokens, the context 8192")
            await agent.events(generate.request_id, refused)

        nursery.start_soon(refuse)
        answer = await post(balancer)
    assert answer.status_code == 200
    assert json.loads(answer.text)["Error"]["error"] == {
        "code": 400,
        "description": "the prompt has 9000 tokens, the context 8192",
    }


async def test_a_failure_result_ends_the_stream() -> None:
    async with running_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()

        async def fail() -> None:
            generate = await agent.next_generate()
            failure = GenerationFailed(GenerationFailure.GRAMMAR_INITIALIZATION_FAILED, "no root")
            await agent.events(generate.request_id, failure)

        nursery.start_soon(fail)
        answer = await post(balancer)
    assert result_of(answer.text) == {"GrammarInitializationFailed": "no root"}


async def test_an_agent_that_is_silent_for_too_long_ends_the_stream_with_504() -> None:
    async with running_balancer(inference_item_timeout_s=0.2) as balancer:
        agent = await balancer.join()
        answer = await post(balancer)
        assert json.loads(answer.text)["Error"]["error"]["code"] == 504
        await agent.next_cancel()


async def test_an_agent_that_is_lost_for_good_ends_the_stream_with_502() -> None:
    async with running_balancer(buffered_request_timeout_s=0.2) as balancer:
        agent = await balancer.join()
        async with asking(balancer.inference_url, RAW, PROMPT) as client:
            generate = await agent.next_generate()
            await agent.events(generate.request_id, token("half"))
            await client.line()
            await agent.vanish()
            assert json.loads(await client.line())["Error"]["error"]["code"] == 502


async def test_another_agent_goes_on_where_the_lost_one_stopped() -> None:
    async with running_balancer() as balancer:
        first = await balancer.join("a1")
        async with asking(balancer.inference_url, RAW, PROMPT) as client:
            generate = await first.next_generate()
            event = TokenEvent(TokenClass.CONTENT, "half", [1, 2])
            await first.events(generate.request_id, event)
            assert await client.result() == {"ContentToken": "half"}
            second = await balancer.join("a2")
            await first.vanish()
            resumed = await second.next_generate()
            assert resumed.resume is not None
            assert resumed.resume.token_ids == [1, 2]
            await second.events(resumed.request_id, token(" and whole"), done())
            line = await client.line()
            assert result_of(line) == {"ContentToken": " and whole"}
            assert json.loads(line)["Response"]["generated_by"] == "a2"


@pytest.mark.parametrize("moment", ["prefilling", "decoding"])
async def test_a_client_that_leaves_frees_its_slot(moment: str) -> None:
    async with running_balancer() as balancer:
        agent = await balancer.join()
        async with asking(balancer.inference_url, RAW, PROMPT):
            generate = await agent.next_generate()
            if moment == "decoding":
                await agent.events(generate.request_id, token("x"))
            await balancer.until_slots_processing(1)
        with trio.fail_after(1):
            cancel = await agent.next_cancel()
            await balancer.until_slots_processing(0)
        assert cancel.request_id == generate.request_id


async def test_a_client_that_leaves_the_buffer_leaves_no_trace() -> None:
    async with running_balancer() as balancer:
        with trio.move_on_after(0.3):
            await post(balancer)
        with trio.fail_after(1):
            await balancer.until_buffered(0)
        agent = await balancer.join()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_one, agent, "x")
            assert (await post(balancer)).status_code == 200


async def test_a_balancer_without_agents_holds_requests_until_one_joins() -> None:
    async with running_balancer() as balancer, trio.open_nursery() as nursery:
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answers.append(await post(balancer))

        nursery.start_soon(ask)
        await balancer.until_buffered(1)
        agent = await balancer.join()
        await answer_one(agent, "served")
        await until(lambda: answers)
    assert "served" in answers[0].text


async def test_ten_clients_on_four_slots_are_all_served_in_order() -> None:
    order: list[str] = []

    async def ask(balancer: RunningBalancer, number: int) -> None:
        answer = await post(balancer, {**PROMPT, "raw_prompt": str(number)})
        assert answer.status_code == 200
        assert f"answer {number}" in answer.text

    async with running_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(slots=4)
        for number in range(10):
            nursery.start_soon(ask, balancer, number)
            if number < 4:
                await balancer.until_slots_processing(number + 1)
            else:
                await balancer.until_buffered(number - 3)
        for _ in range(10):
            generate = await agent.next_generate()
            prompt = msgspec.to_builtins(generate.order.prompt)["text"]
            order.append(prompt)
            await agent.events(generate.request_id, token(f"answer {prompt}"), done())
    assert order == [str(number) for number in range(10)]


async def test_a_stopping_balancer_tells_running_and_waiting_requests_why() -> None:
    async with running_balancer() as balancer:
        agent = await balancer.join()
        buffered: list[httpx.Response] = []

        async def wait_in_buffer() -> None:
            buffered.append(await post(balancer))

        async with (
            trio.open_nursery() as nursery,
            asking(balancer.inference_url, RAW, PROMPT) as client,
        ):
            generate = await agent.next_generate()
            await agent.events(generate.request_id, token("x"))
            await client.line()
            nursery.start_soon(wait_in_buffer)
            await balancer.until_buffered(1)
            balancer.stop.set()
            with trio.fail_after(5):
                error = json.loads(await client.line())["Error"]["error"]
                assert error["code"] == 503
                assert "shutting down" in error["description"]
                assert await client.rest() == []
        assert error_of(buffered[0])[0] == 503
        with trio.fail_after(5):
            await balancer.stopped.wait()


async def test_health_is_always_ok_and_readiness_says_why_not() -> None:
    async with running_balancer() as balancer:
        for base in (balancer.inference_url, balancer.management_url):
            health = await balancer.http.get(base + "/health")
            assert (health.status_code, health.text) == (200, "OK")
            assert health.headers["Content-Type"].startswith("text/plain")
            ready = await balancer.http.get(base + "/ready")
            assert (ready.status_code, ready.text) == (503, "no agent is connected")
        await balancer.join()
        for base in (balancer.inference_url, balancer.management_url):
            assert (await balancer.http.get(base + "/ready")).status_code == 200
