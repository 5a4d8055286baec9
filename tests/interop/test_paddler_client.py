"""PyPI's paddler-client against real processes and the real model: every method it has.

The client is asyncio's; it runs in loops of its own here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TypeVar

import pytest
from paddler_client import ClientInference, ClientManagement
from paddler_client.agent_desired_model import AgentDesiredModel
from paddler_client.balancer_desired_state import BalancerDesiredState
from paddler_client.chat_template import ChatTemplate
from paddler_client.continue_from_conversation_history_params import (
    ContinueFromConversationHistoryParams,
)
from paddler_client.continue_from_raw_prompt_params import ContinueFromRawPromptParams
from paddler_client.conversation_message import ConversationMessage
from paddler_client.embedding_input_document import EmbeddingInputDocument
from paddler_client.embedding_normalization_method import EmbeddingNormalizationMethod
from paddler_client.error import HttpError
from paddler_client.generate_embedding_batch_params import GenerateEmbeddingBatchParams
from paddler_client.grammar_constraint import GbnfGrammarConstraint, JsonSchemaGrammarConstraint
from paddler_client.inference_message import InferenceMessage, InferenceMessageKind
from paddler_client.inference_parameters import InferenceParameters
from paddler_client.tool import Function, Tool
from paddler_client.validated_parameters_schema import ValidatedParametersSchema

from tests.support.real_programs import GEMMA_TEMPLATE, RealBalancer

pytestmark = pytest.mark.model

LIMIT_S = 120
T = TypeVar("T")


def run(work: Coroutine[object, object, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await work

    return asyncio.run(bounded())


async def collect(stream: AsyncIterator[InferenceMessage]) -> list[InferenceMessage]:
    return [message async for message in stream]


def text_of(messages: list[InferenceMessage]) -> str:
    return "".join(message.token or "" for message in messages if message.is_token)


def raw_prompt(**changes: object) -> ContinueFromRawPromptParams:
    return ContinueFromRawPromptParams.model_validate(
        {"raw_prompt": "The quick brown fox", "max_tokens": 8, **changes}
    )


def conversation(**changes: object) -> ContinueFromConversationHistoryParams:
    return ContinueFromConversationHistoryParams.model_validate(
        {
            "add_generation_prompt": True,
            "conversation_history": [ConversationMessage(role="user", content="Say hello.")],
            "enable_thinking": False,
            "max_tokens": 8,
            **changes,
        }
    )


def assert_whole(messages: list[InferenceMessage]) -> None:
    assert messages[-1].kind == InferenceMessageKind.DONE, messages
    assert all(message.is_token for message in messages[:-1])
    assert {message.generated_by for message in messages} == {"one"}
    assert len({message.request_id for message in messages}) == 1
    summary = messages[-1].summary
    assert summary is not None
    assert summary.usage.prompt_tokens > 0
    assert 0 < summary.usage.completion_tokens <= 8


def test_health_of_both_services(fleet: RealBalancer) -> None:
    async def ask() -> list[str]:
        async with (
            ClientInference(fleet.inference_url) as inference,
            ClientManagement(fleet.management_url) as management,
        ):
            return [await inference.get_health(), await management.get_health()]

    assert run(ask()) == ["OK", "OK"]


def test_a_raw_prompt_over_the_socket(fleet: RealBalancer) -> None:
    async def ask() -> list[InferenceMessage]:
        async with ClientInference(fleet.inference_url) as client:
            return await collect(await client.continue_from_raw_prompt(raw_prompt()))

    assert_whole(run(ask()))


def test_a_conversation_over_the_socket_and_over_http_says_the_same(fleet: RealBalancer) -> None:
    async def ask() -> tuple[list[InferenceMessage], list[InferenceMessage]]:
        async with ClientInference(fleet.inference_url) as client:
            over_socket = await collect(
                await client.continue_from_conversation_history(conversation())
            )
            over_http = await collect(
                client.post_continue_from_conversation_history(conversation())
            )
            return over_socket, over_http

    over_socket, over_http = run(ask())
    assert_whole(over_socket)
    assert_whole(over_http)
    assert text_of(over_socket) == text_of(over_http) != ""


def test_many_requests_share_one_socket(fleet: RealBalancer) -> None:
    async def ask() -> list[list[InferenceMessage]]:
        async with ClientInference(fleet.inference_url, socket_pool_size=1) as client:
            streams = [await client.continue_from_raw_prompt(raw_prompt()) for _ in range(6)]
            return list(await asyncio.gather(*(collect(stream) for stream in streams)))

    for messages in run(ask()):
        assert_whole(messages)


@pytest.mark.parametrize(
    ("grammar", "allowed"),
    [
        (GbnfGrammarConstraint(grammar='root ::= "yes" | "no"', root="root"), {"yes", "no"}),
        (
            JsonSchemaGrammarConstraint(schema_value=json.dumps({"enum": ["left", "right"]})),
            {'"left"', '"right"'},
        ),
    ],
)
def test_a_grammar_constrains_the_answer(
    fleet: RealBalancer,
    grammar: GbnfGrammarConstraint | JsonSchemaGrammarConstraint,
    allowed: set[str],
) -> None:
    async def ask() -> list[InferenceMessage]:
        async with ClientInference(fleet.inference_url) as client:
            return await collect(
                client.post_continue_from_conversation_history(conversation(grammar=grammar))
            )

    messages = run(ask())
    assert_whole(messages)
    assert text_of(messages).strip() in allowed


def test_tools_are_taken(fleet: RealBalancer) -> None:
    schema = ValidatedParametersSchema.model_validate(
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    )
    function = Function(name="weather", description="Tells the weather.", parameters=schema)

    async def ask() -> list[InferenceMessage]:
        async with ClientInference(fleet.inference_url) as client:
            asked = conversation(tools=[Tool(function=function)])
            return await collect(client.post_continue_from_conversation_history(asked))

    messages = run(ask())
    assert messages[-1].kind == InferenceMessageKind.DONE, messages


@pytest.mark.parametrize(
    "method",
    [
        EmbeddingNormalizationMethod.l2(),
        EmbeddingNormalizationMethod.none(),
        EmbeddingNormalizationMethod.rms_norm(1e-6),
    ],
    ids=["L2", "none", "RMS"],
)
def test_embeddings(fleet: RealBalancer, method: EmbeddingNormalizationMethod) -> None:
    documents = [EmbeddingInputDocument(id=f"d{n}", content=f"text {n}") for n in range(3)]
    params = GenerateEmbeddingBatchParams(input_batch=documents, normalization_method=method)

    async def ask() -> list[InferenceMessage]:
        async with ClientInference(fleet.inference_url) as client:
            return await collect(client.generate_embedding_batch(params))

    messages = run(ask())
    assert messages[-1].kind == InferenceMessageKind.EMBEDDING_DONE, messages
    embeddings = [message.embedding_data for message in messages[:-1]]
    assert {each.source_document_id for each in embeddings if each} == {"d0", "d1", "d2"}
    for each in embeddings:
        assert each is not None
        assert each.normalization_method == method
        if method.variant == "L2":
            assert sum(value * value for value in each.embedding) == pytest.approx(1, abs=1e-3)


def test_a_refused_request_raises_with_its_status(fleet: RealBalancer) -> None:
    async def ask() -> list[InferenceMessage]:
        async with ClientInference(fleet.inference_url) as client:
            asked = conversation(max_tokens=-1)
            return await collect(client.post_continue_from_conversation_history(asked))

    with pytest.raises(HttpError) as refused:
        run(ask())
    assert refused.value.status_code == 400


def test_the_fleet_can_be_looked_at(fleet: RealBalancer) -> None:
    async def look() -> None:
        async with ClientManagement(fleet.management_url) as client:
            (agent,) = (await client.get_agents()).agents
            assert (agent.name, agent.slots_total, agent.issues) == ("one", 2, [])
            assert agent.uses_chat_template_override
            async for snapshot in client.agents_stream():
                assert [shown.id for shown in snapshot.agents] == [agent.id]
                break
            async for buffered in client.buffered_requests_stream():
                assert buffered.buffered_requests_current == 0
                break
            assert (await client.get_buffered_requests()).buffered_requests_current == 0
            metadata = await client.get_model_metadata(agent.id)
            assert metadata is not None
            assert metadata.metadata["general.architecture"] == "gemma3"
            template = await client.get_chat_template_override(agent.id)
            assert template == ChatTemplate(content=GEMMA_TEMPLATE)
            assert "paddler_slots_total 2.0" in await client.get_metrics()
            with pytest.raises(HttpError) as unknown:
                await client.get_model_metadata("nobody")
            assert unknown.value.status_code == 404

    run(look())


def test_the_desired_state_round_trips(fleet: RealBalancer, real_model_path: Path) -> None:
    async def change() -> None:
        async with ClientManagement(fleet.management_url) as client:
            before = await client.get_balancer_desired_state()
            assert before.model == AgentDesiredModel.local_to_agent(str(real_model_path))
            assert before.chat_template_override == ChatTemplate(content=GEMMA_TEMPLATE)
            await client.put_balancer_desired_state(before)
            assert await client.get_balancer_desired_state() == before
            with pytest.raises(HttpError) as refused:
                await client.put_balancer_desired_state(
                    BalancerDesiredState(inference_parameters=InferenceParameters(n_batch=0))
                )
            assert refused.value.status_code == 400
            assert await client.get_balancer_desired_state() == before

    run(change())
