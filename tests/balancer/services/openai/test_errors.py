"""Errors: OpenAI's shape, the true status, and headers that steer the client's retries."""

from __future__ import annotations

import json

import pytest
import trio

from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.messages.generation import (
    CONTEXT_LENGTH_EXCEEDED,
    GenerationFailed,
    GenerationFailure,
    GenerationRefused,
    ImageTooLarge,
)
from tests.balancer.services.openai.serving import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    STARTED,
    answer_one,
    chat,
    choices_of,
    ended,
    error_of,
    next_data,
    openai_balancer,
    post,
    streaming,
    text,
    url_of,
)
from tests.support.scripted_agents import model_description


async def test_a_malformed_request_names_the_field() -> None:
    async with openai_balancer() as balancer:
        await balancer.join()
        cases: list[tuple[dict[str, object], str]] = [
            ({"temperature": "hot"}, "temperature"),
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
            ({"messages": [{"content": "x"}]}, "messages[0].role"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"n": 1000}, "n"),
            ({"top_logprobs": 3}, "top_logprobs"),
            ({"tool_choice": "required"}, "tool_choice"),
        ]
        for body, param in cases:
            answer = await chat(balancer, **body)
            assert answer.status_code == 400, body
            error = error_of(answer)
            assert error["type"] == "invalid_request_error"
            assert error["param"] == param
            assert "Retry-After" not in answer.headers


async def test_a_field_that_lacks_is_named() -> None:
    async with openai_balancer() as balancer:
        for path, param in ((CHAT, "messages"), (COMPLETIONS, "prompt"), (EMBEDDINGS, "input")):
            answer = await post(balancer, path, model="default")
            assert answer.status_code == 400
            assert error_of(answer)["param"] == param


async def test_a_body_that_is_no_json_is_refused() -> None:
    async with openai_balancer() as balancer:
        answer = await balancer.http.post(url_of(balancer) + CHAT, content=b"{")
        assert answer.status_code == 400
        assert error_of(answer)["param"] is None


async def test_unknown_fields_are_ignored() -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(answer_one, agent, text("x"), ended())
        answer = await chat(balancer, service_tier="auto", metadata={"a": "b"}, vendor=[1])
        assert answer.status_code == 200


async def test_unknown_paths_and_methods_have_openais_shape() -> None:
    async with openai_balancer() as balancer:
        missing = await balancer.http.get(url_of(balancer) + "/v1/files")
        assert missing.status_code == 404
        assert error_of(missing)["code"] == "unknown_url"
        wrong = await balancer.http.get(url_of(balancer) + CHAT)
        assert wrong.status_code == 405
        error_of(wrong)


async def test_a_body_above_the_limit_is_refused() -> None:
    async with openai_balancer(edge_limits=EdgeLimits(max_body_bytes=4096)) as balancer:
        answer = await chat(balancer, messages=[{"role": "user", "content": "x" * 5000}])
        assert answer.status_code == 413
        error_of(answer)


async def test_a_full_buffer_asks_to_come_back() -> None:
    async with openai_balancer(max_buffered_requests=0) as balancer:
        answer = await chat(balancer)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert "x-should-retry" not in answer.headers
        assert error_of(answer)["code"] == "buffer_full"


async def test_no_slot_in_time_is_a_timeout() -> None:
    async with openai_balancer(buffered_request_timeout_s=0.05) as balancer:
        answer = await chat(balancer)
        assert answer.status_code == 504
        assert error_of(answer)["code"] == "buffer_timeout"
        assert error_of(answer)["type"] == "timeout_error"


async def test_an_embeddings_model_does_not_chat_and_retrying_is_no_use() -> None:
    async with openai_balancer() as balancer:

        def embeds_only(agent: object) -> None:
            agent.model = model_description(can_generate=False, can_embed=True)  # type: ignore[attr-defined]  # a ScriptedAgent

        await balancer.join(setup=embeds_only)
        answer = await chat(balancer)
        assert answer.status_code == 501
        assert answer.headers["x-should-retry"] == "false"
        assert error_of(answer)["code"] == "generation_not_supported"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_refused_prompt_has_its_true_status(is_stream: bool) -> None:
    refused = GenerationRefused(400, "the prompt has 9000 tokens", CONTEXT_LENGTH_EXCEEDED)
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()

        async def refuse() -> None:
            generate = await agent.next_generate()
            await agent.events(generate.request_id, refused)

        nursery.start_soon(refuse)
        answer = await chat(balancer, stream=is_stream)
        assert answer.status_code == 400
        assert error_of(answer)["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (GenerationFailed(GenerationFailure.CHAT_TEMPLATE_ERROR, "x"), 400, "chat_template_error"),
        (
            GenerationFailed(GenerationFailure.GRAMMAR_SYNTAX_ERROR, "x"),
            400,
            "grammar_syntax_error",
        ),
        (GenerationFailed(GenerationFailure.SAMPLER_ERROR, "x"), 500, "sampler_error"),
        (
            GenerationFailed(GenerationFailure.TOKEN_GENERATION_DISABLED, "x"),
            501,
            "token_generation_disabled",
        ),
        (ImageTooLarge(900, 512), 400, "image_too_large"),
    ],
)
async def test_failures_have_a_status_and_a_code(
    event: GenerationFailed | ImageTooLarge, status: int, code: str
) -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()

        async def fail() -> None:
            generate = await agent.next_generate()
            await agent.events(generate.request_id, event)

        nursery.start_soon(fail)
        answer = await chat(balancer)
        assert answer.status_code == status
        assert error_of(answer)["code"] == code


async def test_a_failure_within_a_stream_is_an_error_event_and_ends_it() -> None:
    async with openai_balancer() as balancer:
        agent = await balancer.join()
        async with streaming(balancer) as client:
            generate = await answer_one(agent, text("Hel"))
            await next_data(client)
            assert choices_of(json.loads(await next_data(client)))[0]["delta"] == {"content": "Hel"}
            failed = GenerationFailed(GenerationFailure.SAMPLER_ERROR, "out of luck")
            await agent.events(generate.request_id, failed)
            error = json.loads(await next_data(client))["error"]
            assert error["message"] == "out of luck"
            assert error["code"] == "sampler_error"
            assert await next_data(client) == "[DONE]"


async def test_a_lost_agent_is_told_within_the_stream() -> None:
    async with openai_balancer(buffered_request_timeout_s=0.05) as balancer:
        agent = await balancer.join()
        async with streaming(balancer) as client:
            await answer_one(agent, text("Hel"))
            await next_data(client)
            await next_data(client)
            await agent.vanish()
            error = json.loads(await next_data(client))["error"]
            assert error["code"] == "agent_lost"


async def test_a_stopping_balancer_says_so_to_a_request_that_waits() -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()

        async def stop() -> None:
            generate = await agent.next_generate()
            await agent.events(generate.request_id, STARTED)
            balancer.stop.set()

        nursery.start_soon(stop)
        answer = await chat(balancer)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]


async def test_what_is_not_kept_is_refused_with_its_name() -> None:
    async with openai_balancer() as balancer:
        await balancer.join()
        for field, value in [
            ("store", True),
            ("previous_response_id", "resp_1"),
            ("background", True),
            ("conversation", "conv_1"),
        ]:
            answer = await post(balancer, "/v1/responses", input="Hi", **{field: value})
            assert answer.status_code == 400
            assert error_of(answer)["param"] == field


async def test_a_page_of_an_allowed_origin_may_send_what_openais_client_sends() -> None:
    origin = "https://app.example"
    async with openai_balancer(inference_cors_origins=frozenset({origin})) as balancer:
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, x-stainless-lang",
        }
        answer = await balancer.http.options(url_of(balancer) + CHAT, headers=asked)
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "x-stainless-lang" in answer.headers["Access-Control-Allow-Headers"].lower()
