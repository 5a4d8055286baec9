"""From tasks to engine requests and back: pure parts."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddler.agent.request_errors import RequestEnded, failure_event
from paddler.agent.requests.translation import (
    done_event,
    resolve_sampling,
    room_for,
    started_event,
    token_event,
)
from paddler.agent.tool_calls.validation import MAX_VALIDATION_MESSAGES, tool_call_event
from paddler.engine import errors
from paddler.engine.requests import (
    CacheKind,
    Ended,
    FinishReason,
    Logprob,
    Started,
    TokenClass,
    TokenLogprob,
    Tokens,
)
from paddler.messages.conversation import ToolDefinition
from paddler.messages.generation import (
    TERMINAL_EVENTS,
    Alternative,
    GenerationFailed,
    GenerationRefused,
    GenerationStarted,
    TokenEvent,
    TokenLogprobs,
    ToolCallsParsed,
    ToolCallValidationFailed,
)
from paddler.messages.sampling import Sampling
from paddler.messages.state import InferenceParameters
from tests.support.scripted_engine import ScriptedConversation

CONVERSATION = ScriptedConversation("", [], None)


def all_of(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(all_of(child) for child in kind.__subclasses__()))


def test_every_error_of_the_engine_ends_a_generation() -> None:
    for kind in all_of(errors.EngineError):
        error = kind("what happened")
        assert isinstance(error, errors.EngineError)
        event = failure_event(error)
        assert isinstance(event, TERMINAL_EVENTS)
        assert event.message == "what happened"


def test_faults_of_the_engine_are_not_blamed_on_the_request() -> None:
    for error in (errors.InternalError("x"), errors.DecodeFailed("x"), errors.OutOfMemory("x")):
        event = failure_event(error)
        assert isinstance(event, GenerationRefused)
        assert event.code == 500
    assert isinstance(failure_event(errors.GrammarDeadEnd("x")), GenerationFailed)


@given(
    max_tokens=st.none() | st.integers(1, 2**31),
    n_prompt_tokens=st.integers(0, 10_000),
    context_tokens=st.integers(1, 10_000),
)
def test_what_is_generated_always_fits(
    max_tokens: int | None, n_prompt_tokens: int, context_tokens: int
) -> None:
    sizes = {"n_prompt_tokens": n_prompt_tokens, "context_tokens": context_tokens}
    if n_prompt_tokens >= context_tokens:
        with pytest.raises(RequestEnded) as raised:
            room_for(max_tokens, **sizes)
        assert isinstance(raised.value.event, GenerationRefused)
        assert raised.value.event.code == 400
        return
    n_tokens = room_for(max_tokens, **sizes)
    assert 1 <= n_tokens <= context_tokens - n_prompt_tokens
    assert max_tokens is None or n_tokens <= max_tokens


# JSON has no NaN, and nothing equals it.
@given(st.from_type(Sampling).filter(lambda sampling: "nan" not in repr(sampling)))
def test_what_the_request_sets_counts_and_the_rest_is_the_fleets(own: Sampling) -> None:
    fleet = InferenceParameters()
    resolved = resolve_sampling(fleet, own, random_seed=99)
    for field in msgspec.structs.fields(Sampling):
        value = getattr(own, field.name)
        if field.name == "logit_bias":
            assert dict(resolved.logit_bias) == (value or {})
        elif field.name == "seed":
            assert resolved.seed == (99 if value is None else value)
        else:
            expected = getattr(fleet, field.name) if value is None else value
            assert getattr(resolved, field.name) == expected


def test_tokens_keep_their_log_probabilities() -> None:
    chosen, other = Logprob(1, b"\xc3", -0.1), Logprob(2, b"b", -2.0)
    tokens = Tokens([1], TokenClass.REASONING, "", [TokenLogprob(chosen, [chosen, other])])
    one, two = Alternative(1, b"\xc3", -0.1), Alternative(2, b"b", -2.0)
    assert token_event(tokens) == TokenEvent(
        TokenClass.REASONING, "", [1], [TokenLogprobs(one, [one, two])]
    )


def test_bill_counts_by_class_and_never_more_cached_than_prompted() -> None:
    started = started_event(Started(3, 10, 12, CacheKind.SLOT), 9)
    assert started == GenerationStarted(3, 9, 9, "slot")
    ended = Ended(
        reason=FinishReason.STOP_STRING,
        n_generated={TokenClass.CONTENT: 1, TokenClass.REASONING: 2, TokenClass.TOOL_CALL: 3},
        queued_ms=1.0,
        prefill_ms=2.0,
        decode_ms=3.0,
        state_kept=True,
    )
    done = done_event(started, ended)
    usage = done.usage
    assert (usage.prompt_tokens, usage.cached_prompt_tokens) == (9, 9)
    assert (usage.content_tokens, usage.reasoning_tokens, usage.tool_call_tokens) == (1, 2, 3)
    assert usage.undeterminable_tokens == 0
    assert done.timings.slot == 3


def called(arguments: object) -> str:
    return json.dumps([{"name": "t", "arguments": arguments}])


def outcome(parameters: dict[str, object] | None, arguments: object) -> object:
    tools = [ToolDefinition(name="t", parameters=parameters)]
    return tool_call_event(CONVERSATION, called(arguments), tools, n_tool_call_tokens=1)


def test_arguments_that_fit_are_passed_on() -> None:
    parameters: dict[str, object] = {"properties": {"a": {"type": "integer"}}}
    assert isinstance(outcome(parameters, {"a": 1}), ToolCallsParsed)
    assert isinstance(outcome(None, {"a": "anything"}), ToolCallsParsed)


def test_arguments_that_do_not_fit_are_named_with_their_path() -> None:
    parameters: dict[str, object] = {"properties": {"a": {"items": {"type": "integer"}}}}
    failed = outcome(parameters, {"a": [1, "x"]})
    assert isinstance(failed, ToolCallValidationFailed)
    assert len(failed.messages) == 1
    assert "$.a[1]" in failed.messages[0]


def test_problems_are_told_up_to_a_bound() -> None:
    parameters: dict[str, object] = {"additionalProperties": {"type": "integer"}}
    failed = outcome(parameters, {str(i): "x" * 10_000 for i in range(100)})
    assert isinstance(failed, ToolCallValidationFailed)
    assert len(failed.messages) == MAX_VALIDATION_MESSAGES
    assert all(len(message) <= 500 for message in failed.messages)


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/schema", "file:///etc/passwd", "#/no"])
def test_references_out_of_a_schema_are_not_followed(reference: str) -> None:
    failed = outcome({"$ref": reference}, {})
    assert isinstance(failed, ToolCallValidationFailed)
    assert reference.removeprefix("#") in failed.messages[0]


def test_endless_schema_is_a_failed_validation() -> None:
    failed = outcome({"$ref": "#"}, {})
    assert isinstance(failed, ToolCallValidationFailed)


def test_without_tools_or_calls_there_is_nothing_to_tell() -> None:
    assert tool_call_event(CONVERSATION, "[", [], n_tool_call_tokens=0) is None
    tools = [ToolDefinition(name="t")]
    assert tool_call_event(CONVERSATION, "sunny", tools, n_tool_call_tokens=0) is None


def test_calls_may_be_told_without_being_held_against_their_schemas() -> None:
    tools = [ToolDefinition(name="other")]
    event = tool_call_event(CONVERSATION, called({}), tools, n_tool_call_tokens=1, validate=False)
    assert isinstance(event, ToolCallsParsed)
