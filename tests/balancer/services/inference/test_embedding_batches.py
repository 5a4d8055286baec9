"""Embedding batches over HTTP, with scripted agents behind real links."""

from __future__ import annotations

import json
import struct

import httpx
import pytest
import trio

from paddler.messages.embeddings import DocumentEmbedding
from paddler.messages.link import Embed
from paddler.messages.state import DesiredState
from tests.support.running_balancer import (
    DESIRED,
    RunningBalancer,
    desired_state,
    running_balancer,
)
from tests.support.scripted_agents import ScriptedAgent, model_description

PATH = "/api/v1/generate_embedding_batch"


def batch(n_documents: int) -> dict[str, object]:
    documents = [{"id": f"d{n}", "content": f"text {n}"} for n in range(n_documents)]
    return {"input_batch": documents, "normalization_method": "L2"}


def embeds(agent: ScriptedAgent) -> None:
    agent.model = model_description(can_embed=True, pooling_type="Mean")


async def post(balancer: RunningBalancer, body: object) -> httpx.Response:
    return await balancer.http.post(balancer.inference_url + PATH, json=body)


async def embed_for_ever(agent: ScriptedAgent) -> None:
    while True:
        request = await agent.next(Embed)
        vector = struct.pack("<2f", 0.5, 0.25)
        made = [DocumentEmbedding(document.id, vector, 1) for document in request.documents]
        await agent.embeddings(request, *made)


async def test_every_document_comes_back_once_and_one_done_ends_the_batch() -> None:
    state = desired_state(enable_embeddings=True, embedding_batch_size=3)
    async with running_balancer(desired=state) as balancer, trio.open_nursery() as nursery:
        for agent_id in ("a1", "a2"):
            agent = await balancer.join(agent_id, slots=2, setup=embeds)
            nursery.start_soon(embed_for_ever, agent)
        answer = await post(balancer, batch(10))
        nursery.cancel_scope.cancel()
    assert answer.status_code == 200
    envelopes = [json.loads(line)["Response"] for line in answer.text.splitlines()]
    found = [envelope["response"]["Embedding"] for envelope in envelopes]
    assert found.pop() == "Done"
    assert envelopes[-1]["generated_by"] is None
    assert {envelope["generated_by"] for envelope in envelopes[:-1]} == {"a1", "a2"}
    embeddings = [result["Embedding"] for result in found]
    assert sorted(each["source_document_id"] for each in embeddings) == [f"d{n}" for n in range(10)]
    assert {each["pooling_type"] for each in embeddings} == {"Mean"}


async def test_an_empty_batch_is_done_at_once() -> None:
    async with running_balancer(desired=desired_state(enable_embeddings=True)) as balancer:
        await balancer.join(setup=embeds)
        answer = await post(balancer, batch(0))
    assert json.loads(answer.text)["Response"]["response"] == {"Embedding": "Done"}


@pytest.mark.parametrize(
    ("state", "joins", "status"),
    [
        (DESIRED, True, 501),
        (desired_state(enable_embeddings=True), False, 503),
    ],
    ids=["not enabled", "nobody there"],
)
async def test_what_cannot_be_embedded_has_its_status(
    state: DesiredState, joins: bool, status: int
) -> None:
    async with running_balancer(desired=state) as balancer:
        if joins:
            await balancer.join(setup=embeds)
        answer = await post(balancer, batch(1))
    assert answer.status_code == status
    assert answer.json()["Error"]["error"]["code"] == status


@pytest.mark.parametrize("method", ["L1", {"RmsNorm": {}}, {"RmsNorm": {"epsilon": -1}}, None])
async def test_a_normalization_outside_the_contract_gets_400(method: object) -> None:
    async with running_balancer() as balancer:
        answer = await post(balancer, {"input_batch": [], "normalization_method": method})
    assert answer.status_code == 400
    assert "normalization_method" in answer.text


async def test_a_client_that_leaves_cancels_all_chunks() -> None:
    state = desired_state(enable_embeddings=True, embedding_batch_size=1)
    async with running_balancer(desired=state) as balancer:
        agent = await balancer.join(slots=2, setup=embeds)
        with trio.move_on_after(0.5):
            await post(balancer, batch(4))
        with trio.fail_after(2):
            await agent.next_cancel()
            await agent.next_cancel()
            await balancer.until_slots_processing(0)
            await balancer.until_buffered(0)
