"""Public JSON of generations and embeddings, without any socket."""

from __future__ import annotations

import itertools
import json
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddler.balancer.requests.items import (
    EmbeddedDocument,
    EmbeddingChunkFailed,
    EmbeddingItem,
    GenerationError,
    GenerationItem,
    GenerationStart,
)
from paddler.balancer.services.inference.embedding_json import EmbeddingEncoder
from paddler.balancer.services.inference.ndjson import GenerationEncoder
from paddler.messages.answers import InferenceAnswer
from paddler.messages.embeddings import (
    DocumentEmbedding,
    DocumentFailed,
    DocumentTooLong,
    RmsNorm,
    RmsNormSettings,
)
from paddler.messages.generation import (
    GenerationFailed,
    GenerationFailure,
    ImageTooLarge,
    TokenClass,
    TokenEvent,
    ToolCall,
    ToolCallParseFailed,
    ToolCallsParsed,
    ToolCallValidationFailed,
    UnrecognizedToolCallFormat,
)
from tests.support.scripted_agents import done, token

KEYS = {
    "ContentToken": TokenClass.CONTENT,
    "ReasoningToken": TokenClass.REASONING,
    "ToolCallToken": TokenClass.TOOL_CALL,
    "UndeterminableToken": TokenClass.UNDETERMINABLE,
}

token_events = st.builds(TokenEvent, st.sampled_from(TokenClass), st.text(max_size=5), st.just([1]))


def start(name: str | None = "a1") -> GenerationStart:
    return GenerationStart(agent_id="id", agent_name=name, buffered_ms=1.0)


def results(*items: GenerationItem) -> list[dict[str, object]]:
    encoder = GenerationEncoder("r1", start(), include_timings=False)
    return [
        json.loads(found)["Response"]["response"]["GeneratedToken"]
        for found in encoder.encode(items)
    ]


@given(st.lists(token_events, max_size=30))
def test_merging_keeps_every_text_its_class_and_the_order(events: list[TokenEvent]) -> None:
    found = [next(iter(result.items())) for result in results(*events)]
    expected = [
        (token_class, "".join(event.text for event in group))
        for token_class, group in itertools.groupby(
            (event for event in events if event.text), key=lambda event: event.token_class
        )
    ]
    assert [(KEYS[key], text) for key, text in found] == expected


@given(st.text(), st.text(), st.none() | st.text())
def test_an_object_is_one_line_of_json_whatever_is_in_it(
    text: str, request_id: str, name: str | None
) -> None:
    encoder = GenerationEncoder(request_id, start(name), include_timings=False)
    objects = encoder.encode([token(text or "x"), GenerationError(502, text)])
    assert all(b"\n" not in found for found in objects)
    response, error = [json.loads(found) for found in objects]
    assert response["Response"]["request_id"] == error["Error"]["request_id"] == request_id
    assert response["Response"]["generated_by"] == name
    assert error["Error"]["error"] == {"code": 502, "description": text}


def test_an_empty_text_says_nothing() -> None:
    assert results(TokenEvent(TokenClass.CONTENT, "", [5])) == []


def test_tokens_keep_their_place_among_other_results() -> None:
    found = results(token("a"), ToolCallParseFailed("no"), token("b"), done())
    assert [next(iter(result)) for result in found] == [
        "ContentToken",
        "ToolCallParseFailed",
        "ContentToken",
        "Done",
    ]


def test_tool_calls_carry_their_arguments_as_json_or_as_text() -> None:
    calls = [
        ToolCall("c1", "f", '{\n "a": [1, 2.5, "x\\n"],\r\n "b": null}', arguments_valid=True),
        ToolCall("c2", "g", '{"a": ', arguments_valid=False),
    ]
    assert results(ToolCallsParsed(calls)) == [
        {
            "ToolCallParsed": [
                {
                    "id": "c1",
                    "name": "f",
                    "arguments": {"ValidJson": {"a": [1, 2.5, "x\n"], "b": None}},
                },
                {"id": "c2", "name": "g", "arguments": {"InvalidJson": '{"a": '}},
            ]
        }
    ]


def test_the_other_results_have_the_contracts_shape() -> None:
    assert results(
        ToolCallValidationFailed(["a", "b"]),
        UnrecognizedToolCallFormat("text", "why"),
        ImageTooLarge(3000, 2048),
    ) == [
        {"ToolCallValidationFailed": ["a", "b"]},
        {"UnrecognizedToolCallFormat": {"text": "text", "ffi_error_message": "why"}},
        {"ImageExceedsBatchSize": {"image_tokens": 3000, "n_batch": 2048}},
    ]


def test_after_a_takeover_the_new_agent_is_named() -> None:
    live = start("a1")
    encoder = GenerationEncoder("r1", live, include_timings=False)
    first = json.loads(encoder.encode([token("x")])[0])
    live.agent_name = "a2"
    second = json.loads(encoder.encode([token("y")])[0])
    names = [found["Response"]["generated_by"] for found in (first, second)]
    assert names == ["a1", "a2"]


def embedding_results(*items: EmbeddingItem) -> list[object]:
    encoder = EmbeddingEncoder("r1", RmsNorm(RmsNormSettings(0.5)))
    return [
        json.loads(found)["Response"]["response"]["Embedding"] for found in encoder.encode(items)
    ]


def test_embeddings_have_the_contracts_shape() -> None:
    vector = struct.pack("<3f", 0.5, -1.0, 0.25)
    found = embedding_results(
        EmbeddedDocument("a1", "Last", DocumentEmbedding("d1", vector, 2)),
        EmbeddedDocument("a1", "Last", DocumentTooLong("d2", 300, 256)),
        EmbeddedDocument("a1", "Last", DocumentFailed("d3", "why")),
        EmbeddingChunkFailed("a1", "broken"),
    )
    assert found == [
        {
            "Embedding": {
                "embedding": [0.5, -1.0, 0.25],
                "normalization_method": {"RmsNorm": {"epsilon": 0.5}},
                "pooling_type": "Last",
                "source_document_id": "d1",
            }
        },
        {
            "DocumentExceedsBatchSize": {
                "document_tokens": 300,
                "n_batch": 256,
                "source_document_id": "d2",
            }
        },
        {"Error": "document d3: why"},
        {"Error": "broken"},
    ]


def test_a_batch_that_failed_knows_it() -> None:
    encoder = EmbeddingEncoder("r1", "L2")
    assert not encoder.is_failed
    (found,) = encoder.encode([GenerationError(502, "lost")])
    assert json.loads(found)["Error"]["error"] == {"code": 502, "description": "lost"}
    assert encoder.is_failed
    assert json.loads(encoder.done()) == {
        "Response": {"generated_by": None, "request_id": "r1", "response": {"Embedding": "Done"}}
    }


def assert_is_an_answer(line: bytes) -> None:
    """It is what the structs of the contract encode to, byte for byte."""
    assert msgspec.json.encode(msgspec.json.decode(line, type=InferenceAnswer)) == line


@given(st.lists(token_events, max_size=5), st.none() | st.text(), st.text())
def test_tokens_are_written_as_the_structs_would_be(
    events: list[TokenEvent], agent_name: str | None, request_id: str
) -> None:
    encoder = GenerationEncoder(request_id, start(agent_name), include_timings=False)
    for line in encoder.encode(events):
        assert_is_an_answer(line)


@pytest.mark.parametrize("failure", GenerationFailure)
def test_every_failure_of_a_generation_has_its_field(failure: GenerationFailure) -> None:
    assert results(GenerationFailed(failure, "why")) == [{failure.value: "why"}]


@pytest.mark.parametrize("first_token_ms", [None, 12.5])
def test_an_end_carries_timings_if_they_were_asked_for(first_token_ms: float | None) -> None:
    live = start()
    live.ttft_ms = first_token_ms
    (asked,) = GenerationEncoder("r1", live, include_timings=True).encode([done()])
    (not_asked,) = GenerationEncoder("r1", live, include_timings=False).encode([done()])
    ends = [
        json.loads(line)["Response"]["response"]["GeneratedToken"]["Done"]
        for line in (asked, not_asked)
    ]
    assert ends[0]["timings"]["ttft_ms"] == first_token_ms
    assert set(ends[1]) == {"usage"}
    assert_is_an_answer(asked)
    assert_is_an_answer(not_asked)
