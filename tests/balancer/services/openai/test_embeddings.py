"""Embeddings."""

from __future__ import annotations

import array
import base64

import trio

from paddler.messages.embeddings import DocumentEmbedding, DocumentTooLong
from paddler.messages.link import Embed
from tests.balancer.services.openai.serving import EMBEDDINGS, error_of, openai_balancer, post
from tests.support.running_balancer import desired_state
from tests.support.scripted_agents import ScriptedAgent, model_description

ENABLED = desired_state(enable_embeddings=True)


def embeds(agent: ScriptedAgent) -> None:
    agent.model = model_description(can_embed=True)


def vector_of(content: str) -> bytes:
    return array.array("f", [float(len(content)), 0.5]).tobytes()


async def embed_backwards(agent: ScriptedAgent) -> None:
    """Answer with the last document first."""
    request = await agent.next(Embed)
    results = [
        DocumentEmbedding(document.id, vector_of(document.content), 3)
        for document in reversed(request.documents)
    ]
    await agent.embeddings(request, *results)


async def test_embeddings_come_in_the_order_of_the_texts() -> None:
    async with openai_balancer(desired=ENABLED) as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(setup=embeds)
        nursery.start_soon(embed_backwards, agent)
        body = (await post(balancer, EMBEDDINGS, input=["a", "bb", "ccc"], model="model")).json()
        assert body["object"] == "list"
        assert body["model"] == "model"
        assert body["data"] == [
            {"object": "embedding", "index": index, "embedding": [index + 1.0, 0.5]}
            for index in range(3)
        ]
        assert body["usage"] == {"prompt_tokens": 9, "total_tokens": 9}


async def test_base64_is_the_raw_vector() -> None:
    async with openai_balancer(desired=ENABLED) as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(setup=embeds)
        nursery.start_soon(embed_backwards, agent)
        body = (await post(balancer, EMBEDDINGS, input="abc", encoding_format="base64")).json()
        assert base64.b64decode(body["data"][0]["embedding"]) == vector_of("abc")


async def test_a_text_that_is_too_long_is_the_requests_fault() -> None:
    async with openai_balancer(desired=ENABLED) as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(setup=embeds)

        async def refuse() -> None:
            request = await agent.next(Embed)
            await agent.embeddings(request, DocumentTooLong("0", 900, 256))

        nursery.start_soon(refuse)
        answer = await post(balancer, EMBEDDINGS, input="abc")
        assert answer.status_code == 400
        assert error_of(answer)["code"] == "context_length_exceeded"


async def test_embeddings_that_are_not_enabled_are_refused() -> None:
    async with openai_balancer() as balancer:
        await balancer.join()
        answer = await post(balancer, EMBEDDINGS, input="abc")
        assert answer.status_code == 501
        assert error_of(answer)["code"] == "embeddings_not_enabled"
        assert answer.headers["x-should-retry"] == "false"


async def test_without_agents_it_is_worth_coming_back() -> None:
    async with openai_balancer(desired=ENABLED) as balancer:
        answer = await post(balancer, EMBEDDINGS, input="abc")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]


async def test_what_is_not_supported_is_refused_clearly() -> None:
    async with openai_balancer(desired=ENABLED) as balancer:
        await balancer.join(setup=embeds)
        cases: list[tuple[dict[str, object], str]] = [
            ({"input": "a", "dimensions": 8}, "dimensions"),
            ({"input": [1, 2]}, "input"),
            ({"input": ["a", ""]}, "input"),
            ({"input": []}, "input"),
            ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ]
        for body, param in cases:
            answer = await post(balancer, EMBEDDINGS, **body)
            assert answer.status_code == 400, body
            assert error_of(answer)["param"] == param
