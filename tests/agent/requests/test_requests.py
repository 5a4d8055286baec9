"""Requests at a whole agent: what goes in over the link, and what comes back.

Virtual time; a scripted engine whose tokens are characters.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.engine import errors
from paddler.engine.requests import GrammarConstraint, TokenClass
from paddler.messages.conversation import (
    ImagePart,
    ImageUrl,
    Message,
    ToolDefinition,
)
from paddler.messages.embeddings import (
    DocumentEmbedding,
    DocumentFailed,
    DocumentTooLong,
    EmbeddingDocument,
)
from paddler.messages.generation import (
    ConversationPrompt,
    FinishReason,
    GenerationDone,
    GenerationFailed,
    GenerationFailure,
    GenerationOrder,
    GenerationStarted,
    RawPrompt,
    TokenEvent,
    TokenPrompt,
    ToolCallDelta,
    ToolCallParseFailed,
    ToolCallsParsed,
    ToolCallValidationFailed,
)
from paddler.messages.grammar import GbnfGrammar, Grammar, JsonSchemaGrammar
from paddler.messages.link import Embed, EmbeddingEvents, EventBatch, HandedOver, Resume
from paddler.messages.sampling import Sampling
from tests.support.agent_harness import Harness, StandInLink, running_agent, state_of
from tests.support.scripted_engine import ModelScript

WEATHER = ToolDefinition(
    name="weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
)


def conversation(text: str = "hi", **changes: Any) -> ConversationPrompt:
    return ConversationPrompt([Message("user", text)], **changes)


async def serving(agent: Harness, **parameters: Any) -> StandInLink:
    link = await agent.balancer.welcome()
    await link.serve(state_of(**parameters))
    return link


async def failure_of(order: GenerationOrder, **parameters: Any) -> GenerationFailed:
    async with running_agent() as agent:
        link = await serving(agent, **parameters)
        await link.generate(1, order)
        failed = await link.failed(1)
        assert link.events(1) == [failed]
        assert agent.engine.requests == []
        return failed


async def test_raw_prompt_reaches_the_engine_as_it_is(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await serving(agent)
        await link.generate(5, "2+2=")
        done = await link.done(5)
        events = link.events(5)
        assert events[0] == GenerationStarted(0, 4, 0)
        assert link.text(5) == "hello"
        assert done.finish_reason is FinishReason.END_OF_GENERATION
        assert done.usage.prompt_tokens == 4
        assert done.usage.content_tokens == 5
        assert done.timings.decode_ms == 3.0
        assert agent.engine.requests[0].prompt_tokens == [ord(c) for c in "2+2="]


async def test_conversation_is_rendered_with_stops_and_checkpoints(
    autojump_clock: MockClock,
) -> None:
    async with running_agent() as agent:
        link = await serving(agent)
        messages = [Message("system", "s"), Message("user", "a"), Message("user", "b")]
        prompt = ConversationPrompt(messages)
        await link.generate(1, GenerationOrder(prompt=prompt, stop=["STOP"]))
        await link.done(1)
        request = agent.engine.requests[0]
        text = "".join(map(chr, request.prompt_tokens))
        assert text == "<system>s<user>a<user>b<assistant>"
        assert list(request.stops) == ["STOP", "<end>"]
        assert list(request.checkpoints) == [9, 16]
        # Where a sequence can be cut anywhere, there is nothing to look for.
        agent.engine.facts = dataclasses.replace(agent.engine.facts, needs_checkpoints=False)
        await link.generate(2, GenerationOrder(prompt=prompt))
        await link.done(2)
        assert not agent.engine.requests[1].checkpoints


async def test_sampling_of_the_request_lies_over_the_fleets(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await serving(agent, temperature=0.3, top_k=7, penalty_repeat=1.5)
        sampling = Sampling(temperature=0.0, seed=42, logit_bias={3: -1.0})
        await link.generate(1, GenerationOrder(prompt=RawPrompt("x"), sampling=sampling))
        await link.generate(2, GenerationOrder(prompt=RawPrompt("x")))
        await link.done(1)
        await link.done(2)
        first, second = (request.sampling for request in agent.engine.requests)
        assert (first.temperature, first.top_k, first.seed) == (0.0, 7, 42)
        assert first.penalty_repeat == 1.5
        assert list(first.logit_bias) == [(3, -1.0)]
        assert second.temperature == 0.3


async def test_max_tokens_is_cut_to_what_fits_the_context(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await serving(agent, context_size=10)
        await link.generate(1, GenerationOrder(prompt=RawPrompt("1234567"), max_tokens=100))
        done = await link.done(1)
        assert link.text(1) == "hel"
        assert done.finish_reason is FinishReason.MAX_TOKENS


async def test_too_long_a_prompt_is_refused_with_both_lengths(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await serving(agent, context_size=10)
        await link.generate(1, "12345678901")
        refused = await link.refused(1)
        assert refused.code == 400
        assert "11" in refused.message
        assert "10" in refused.message


async def test_token_prompt_is_checked_against_the_vocabulary(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await serving(agent)
        await link.generate(1, GenerationOrder(prompt=TokenPrompt([65, 66])))
        await link.generate(2, GenerationOrder(prompt=TokenPrompt([0x110000])))
        await link.generate(3, GenerationOrder(prompt=TokenPrompt([])))
        await link.done(1)
        assert agent.engine.requests[0].prompt_tokens == [65, 66]
        assert (await link.refused(2)).code == 400
        assert (await link.refused(3)).code == 400


async def test_grammar_beside_thinking_is_refused(autojump_clock: MockClock) -> None:
    grammar = GbnfGrammar("root ::= [a]", "root")
    order = GenerationOrder(prompt=conversation(enable_thinking=True), grammar=grammar)
    failed = await failure_of(order)
    assert failed.failure is GenerationFailure.GRAMMAR_INCOMPATIBLE_WITH_THINKING


async def test_grammar_without_its_root_is_refused(autojump_clock: MockClock) -> None:
    order = GenerationOrder(prompt=RawPrompt("x"), grammar=GbnfGrammar("a ::= [a]", "root"))
    failed = await failure_of(order)
    assert failed.failure is GenerationFailure.GRAMMAR_INITIALIZATION_FAILED


async def test_schema_that_no_grammar_can_be_made_of_is_refused(autojump_clock: MockClock) -> None:
    order = GenerationOrder(prompt=conversation(), grammar=JsonSchemaGrammar("{"))
    failed = await failure_of(order)
    assert failed.failure is GenerationFailure.GRAMMAR_SYNTAX_ERROR


async def test_image_without_projector_is_refused(autojump_clock: MockClock) -> None:
    image = ImagePart(ImageUrl("data:image/png;base64,"))
    prompt = ConversationPrompt([Message("user", [image])])
    failed = await failure_of(GenerationOrder(prompt=prompt))
    assert failed.failure is GenerationFailure.MULTIMODAL_NOT_SUPPORTED


async def test_tool_whose_parameters_are_no_schema_is_refused() -> None:
    # Schemas are judged in a thread: real clock.
    tool = ToolDefinition(name="t", parameters={"type": "no such type"})
    failed = await failure_of(GenerationOrder(prompt=conversation(tools=[tool])))
    assert failed.failure is GenerationFailure.TOOL_SCHEMA_INVALID
    assert "`t`" in failed.message


async def test_conversation_the_template_refuses_is_an_error(autojump_clock: MockClock) -> None:
    prompt = ConversationPrompt([Message("unheard-of", "x")])
    failed = await failure_of(GenerationOrder(prompt=prompt))
    assert failed.failure is GenerationFailure.CHAT_TEMPLATE_ERROR


async def test_conversation_with_a_broken_template_is_an_error(autojump_clock: MockClock) -> None:
    failed = await failure_of(GenerationOrder(prompt=conversation()), template="broken")
    assert failed.failure is GenerationFailure.CHAT_TEMPLATE_ERROR
    assert "unexpected end" in failed.message


async def test_conversation_without_a_template_is_an_error_and_raw_prompts_work(
    autojump_clock: MockClock,
) -> None:
    async with running_agent({"model.gguf": ModelScript(chat_template=None)}) as agent:
        link = await serving(agent)
        await link.generate(1, GenerationOrder(prompt=conversation()))
        failed = await link.failed(1)
        assert failed.failure is GenerationFailure.CHAT_TEMPLATE_ERROR
        await link.generate(2, "x")
        await link.done(2)


async def test_embedding_model_does_not_generate(autojump_clock: MockClock) -> None:
    async with running_agent({"model.gguf": ModelScript(can_generate=False)}) as agent:
        link = await serving(agent)
        assert link.status is not None
        assert link.status.issues == []
        await link.generate(1, "x")
        failed = await link.failed(1)
        assert failed.failure is GenerationFailure.TOKEN_GENERATION_DISABLED


@pytest.mark.parametrize(
    ("grammar", "expected", "lazy"),
    [
        (GbnfGrammar("top ::= [a]", "top"), "top ::= [a]", False),
        (JsonSchemaGrammar("{}"), "template: {}", False),
        (None, "tools", True),
    ],
)
async def test_own_grammar_rules_over_the_tools(
    grammar: Grammar | None, expected: str, lazy: bool
) -> None:
    async with running_agent() as agent:
        link = await serving(agent)
        prompt = conversation(tools=[WEATHER])
        await link.generate(1, GenerationOrder(prompt=prompt, grammar=grammar))
        await link.done(1)
        constraint = agent.engine.requests[0].grammar
        assert constraint is not None
        assert constraint.text == expected
        assert constraint.lazy is lazy


async def test_schema_for_a_raw_prompt_becomes_a_grammar(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await serving(agent)
        order = GenerationOrder(prompt=RawPrompt("x"), grammar=JsonSchemaGrammar("{}"))
        await link.generate(1, order)
        await link.done(1)
        constraint = agent.engine.requests[0].grammar
        assert constraint == GrammarConstraint(text="root ::= {}")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('[{"name": "weather", "arguments": {"city": "Bern"}}]', ToolCallsParsed),
        ('[{"name": "weather", "arguments": {"city": 3}}]', ToolCallValidationFailed),
        ('[{"name": "weather", "arguments": {}}]', ToolCallValidationFailed),
        ('[{"name": "time", "arguments": {}}]', ToolCallValidationFailed),
        ("[{", ToolCallParseFailed),
        ("sunny", None),
    ],
)
async def test_tool_calls_are_parsed_before_the_end(reply: str, expected: type | None) -> None:
    script = ModelScript(reply=reply, token_class=TokenClass.TOOL_CALL, token_interval_s=0.0)
    async with running_agent({"model.gguf": script}) as agent:
        link = await serving(agent)
        prompt = conversation(tools=[WEATHER])
        await link.generate(1, GenerationOrder(prompt=prompt, parse_tool_calls=True))
        done = await link.done(1)
        events = link.events(1)
        between = [
            event
            for event in events
            if not isinstance(event, (GenerationStarted, TokenEvent, GenerationDone))
        ]
        assert [type(event) for event in between] == ([] if expected is None else [expected])
        assert done.usage.tool_call_tokens == len(reply)


async def test_tool_calls_are_told_while_they_are_written_if_asked_for(
    autojump_clock: MockClock,  # looking at what is written takes no time, so that no pause follows
) -> None:
    reply = '[{"name": "weather", "arguments": {"city": "Bern"}}]'
    script = ModelScript(reply=reply, token_class=TokenClass.TOOL_CALL, token_interval_s=0.0)
    async with running_agent({"model.gguf": script}) as agent:
        link = await serving(agent)
        order = GenerationOrder(
            prompt=conversation(tools=[WEATHER]), parse_tool_calls=True, stream_tool_calls=True
        )
        begun = [ord(character) for character in reply[:30]]
        for request_id, resume in enumerate([None, Resume(token_ids=begun, n_sent_bytes=30)], 1):
            await link.generate(request_id, order, resume=resume)
            await link.done(request_id)
            events = link.events(request_id)
            deltas = [event for event in events if isinstance(event, ToolCallDelta)]
            assert deltas[0].name == "weather"
            assert deltas[0].offset == 0
            assert '{"city": "Bern"}'.startswith("".join(delta.arguments for delta in deltas))
            assert isinstance(events[-2], ToolCallsParsed)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.GrammarDeadEnd("stuck"), GenerationFailure.GRAMMAR_REJECTED_MODEL_OUTPUT),
        (errors.DecodeFailed("no"), 500),
        (errors.InvalidArgument("no"), 400),
    ],
)
async def test_error_of_the_engine_ends_only_its_request(
    autojump_clock: MockClock, error: errors.EngineError, expected: object
) -> None:
    script = ModelScript(generation_error=error)
    async with running_agent({"model.gguf": script}) as agent:
        link = await serving(agent)
        await link.generate(1, "x")
        ending = await link.ending(1)
        assert not isinstance(ending, GenerationDone)
        assert getattr(ending, "failure", None) or getattr(ending, "code", None) == expected
        script.generation_error = None
        await link.generate(2, "x")
        await link.done(2)


async def test_engine_that_closes_hands_the_request_over(autojump_clock: MockClock) -> None:
    script = ModelScript(generation_error=errors.EngineClosed("closing"))
    async with running_agent({"model.gguf": script}) as agent:
        link = await serving(agent)
        await link.generate(1, "x")
        assert (await link.first(HandedOver)).request_ids == [1]


async def test_cancelled_request_frees_its_slot_and_says_nothing_more(
    autojump_clock: MockClock,
) -> None:
    script = ModelScript(reply="x" * 1000, token_interval_s=1.0)
    async with running_agent({"model.gguf": script}, slots=1) as agent:
        link = await serving(agent)
        await link.generate(1, "x")
        await link.until_events(1, 3)
        await link.cancel(1)
        script.reply = "y"
        await link.generate(2, "x")
        await link.done(2)
        assert len(link.events(1)) <= 4
        assert agent.engine.running == {}


async def test_resumed_generation_continues_after_what_was_sent(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await serving(agent)
        resume = Resume(token_ids=[ord(c) for c in "hel"], n_sent_bytes=2)
        await link.generate(1, GenerationOrder(prompt=RawPrompt("x"), max_tokens=4), resume)
        done = await link.done(1)
        assert link.text(1) == "ll"
        assert done.usage.content_tokens == 4


async def test_events_of_several_slots_share_frames(autojump_clock: MockClock) -> None:
    async with running_agent(slots=2) as agent:
        link = await serving(agent)
        await link.generate(1, "x")
        await link.generate(2, "x")
        await link.done(1)
        await link.done(2)
        shared = [batch for batch in link.of(EventBatch) if len(batch.batch) == 2]
        assert len(shared) >= 4


async def test_more_requests_than_the_agent_takes_are_handed_back(
    autojump_clock: MockClock,
) -> None:
    script = ModelScript(reply="x" * 100)
    async with running_agent({"model.gguf": script}, slots=1) as agent:
        link = await serving(agent)
        for request_id in range(1, 7):
            await link.generate(request_id, "x")
        handed = await link.first(HandedOver)
        assert handed.request_ids == [5]
        await link.until(lambda: len(link.of(HandedOver)) == 2)
        for request_id in range(1, 5):
            await link.done(request_id)


async def test_request_without_a_model_is_handed_back(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.generate(1, "x")
        assert (await link.first(HandedOver)).request_ids == [1]


async def test_documents_are_embedded_and_normalized(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await serving(agent, enable_embeddings=True, embedding_batch_size=20, n_batch=5)
        assert link.status is not None
        assert link.status.model is not None
        assert link.status.model.can_embed
        documents = [
            EmbeddingDocument("a", "x"),
            EmbeddingDocument("b", "too long"),
            EmbeddingDocument("c", "bad!"),
            EmbeddingDocument("d", ""),
            *(EmbeddingDocument(f"e{i}", "xyz") for i in range(20)),
        ]
        await link.send(Embed(request_id=9, documents=documents, normalization="L2"))
        await link.until(lambda: any(frame.done for frame in link.of(EmbeddingEvents)))
        results = {
            result.document_id: result
            for frame in link.of(EmbeddingEvents)
            for result in frame.results
        }
        assert len(results) == 24
        assert isinstance(results["a"], DocumentEmbedding)
        assert struct.unpack("<2f", results["a"].vector) == pytest.approx((0.6, 0.8))
        assert results["b"] == DocumentTooLong("b", 8, 5)
        assert isinstance(results["c"], DocumentFailed)
        assert isinstance(results["d"], DocumentFailed)
        assert isinstance(results["e19"], DocumentEmbedding)
        assert results["e19"].n_tokens == 3


async def test_embeddings_that_are_not_enabled_are_an_error(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await serving(agent)
        await link.send(Embed(request_id=9, documents=[EmbeddingDocument("a", "x")]))
        frame = await link.first(EmbeddingEvents)
        assert frame.done
        assert frame.error is not None


async def test_lost_link_cancels_its_requests_and_the_next_link_starts_clean(
    autojump_clock: MockClock,
) -> None:
    script = ModelScript(reply="x" * 1000, token_interval_s=1.0)
    async with running_agent({"model.gguf": script}) as agent:
        link = await serving(agent)
        await link.generate(1, "x")
        await link.until_events(1, 2)
        await link.break_off()
        link = await agent.balancer.welcome()
        await wait_all_tasks_blocked()
        assert agent.engine.running == {}
        script.reply = "y"
        await link.generate(1, "x")
        await link.done(1)
        assert link.text(1) == "y"
