"""The public contract: what is within it round-trips, what is outside is refused and told why."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddler.messages.conversation import (
    ConversationMessage,
    ImagePart,
    ImageUrl,
    ParametersSchema,
    TextPart,
    Tool,
    ToolFunction,
)
from paddler.messages.decoding import MalformedMessage, decode_json
from paddler.messages.embeddings import (
    EmbeddingDocument,
    GenerateEmbeddingBatch,
    RmsNorm,
    RmsNormSettings,
)
from paddler.messages.grammar import GbnfGrammar, JsonSchemaGrammar
from paddler.messages.inference import ContinueFromConversationHistory, ContinueFromRawPrompt
from paddler.messages.sampling import Sampling
from paddler.messages.state import (
    ChatTemplate,
    DesiredState,
    HuggingFaceModel,
    InferenceParameters,
    ModelReference,
    UrlModel,
    decode_desired_state,
)

texts = st.text(max_size=20)
names = st.text(min_size=1, max_size=20)
max_tokens = st.integers(1, 2**31 - 1)
numbers = st.floats(0, 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
grammars = st.builds(GbnfGrammar, texts, texts) | st.builds(JsonSchemaGrammar, texts)
samplings = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 100),
    top_k=st.none() | st.integers(0, 100),
    top_p=st.none() | numbers,
    seed=st.none() | st.integers(0, 2**32 - 1),
    logit_bias=st.none() | st.dictionaries(st.integers(0, 99), st.floats(-100, 100), max_size=3),
)
extensions = {
    "grammar": st.none() | grammars,
    "sampling": st.none() | samplings,
    "stop": st.none() | st.lists(names, max_size=16),
    "conversation_id": st.none() | texts,
    "include_timings": st.none() | st.booleans(),
}
raw_prompts = st.builds(
    ContinueFromRawPrompt, raw_prompt=texts, max_tokens=max_tokens, **extensions
)
parts = st.builds(TextPart, texts) | st.builds(ImagePart, st.builds(ImageUrl, texts))
schemas = st.builds(
    ParametersSchema,
    texts,
    st.none() | st.dictionaries(texts, json_values, max_size=3),
    st.none() | st.lists(texts, max_size=3),
    json_values,
)
tools = st.builds(
    Tool, st.just("function"), st.builds(ToolFunction, texts, texts, st.none() | schemas)
)
conversations = st.builds(
    ContinueFromConversationHistory,
    conversation_history=st.lists(
        st.builds(ConversationMessage, texts, texts | st.lists(parts, max_size=3)), max_size=4
    ),
    add_generation_prompt=st.booleans(),
    enable_thinking=st.booleans(),
    max_tokens=max_tokens,
    tools=st.none() | st.lists(tools, max_size=3),
    parse_tool_calls=st.none() | st.booleans(),
    **extensions,
)
batches = st.builds(
    GenerateEmbeddingBatch,
    input_batch=st.lists(st.builds(EmbeddingDocument, texts, texts), max_size=4),
    normalization_method=st.sampled_from(["L2", "None"])
    | st.builds(RmsNorm, st.builds(RmsNormSettings, numbers)),
)
models = (
    st.just("None")
    | st.builds(ModelReference, LocalToAgent=names)
    | st.builds(ModelReference, Url=st.builds(UrlModel, names))
    | st.builds(ModelReference, HuggingFace=st.builds(HuggingFaceModel, names, names, names))
)
parameters = st.builds(
    InferenceParameters,
    n_batch=st.integers(1, 4096),
    temperature=numbers,
    n_gpu_layers=st.integers(-1, 99),
    pooling_type=st.sampled_from(["Unspecified", "None", "Mean", "Cls", "Last", "Rank"]),
    k_cache_dtype=st.sampled_from(["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "IQ4_NL"]),
)
states = st.builds(
    DesiredState,
    chat_template_override=st.none() | st.builds(ChatTemplate, texts),
    inference_parameters=parameters,
    model=models,
    multimodal_projection=models,
    use_chat_template_override=st.booleans(),
)
everything = raw_prompts | conversations | batches | states

TYPES = (
    ContinueFromRawPrompt,
    ContinueFromConversationHistory,
    GenerateEmbeddingBatch,
    DesiredState,
)


def without_nulls(value: object) -> object:
    """As clients that drop nulls send it; JSON Schemas are left alone."""
    if isinstance(value, Mapping):
        return {
            key: inner if key in ("properties", "additionalProperties") else without_nulls(inner)
            for key, inner in value.items()
            if inner is not None
        }
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


@given(everything)
def test_whatever_is_within_the_contract_round_trips(message: msgspec.Struct) -> None:
    assert decode_json(msgspec.json.encode(message), type(message)) == message


@given(everything)
def test_a_field_that_may_be_null_may_also_be_left_out(message: msgspec.Struct) -> None:
    sent = json.dumps(without_nulls(msgspec.to_builtins(message, str_keys=True)))
    assert decode_json(sent, type(message)) == message


@given(everything, names)
def test_an_unknown_field_is_named_and_the_allowed_ones_are_listed(
    message: msgspec.Struct, field: str
) -> None:
    sent = msgspec.to_builtins(message, str_keys=True)
    if field in sent or field in type(message).__struct_encode_fields__:
        return
    with pytest.raises(MalformedMessage) as refused:
        decode_json(json.dumps({**sent, field: 1}), type(message))
    assert field in str(refused.value)
    for allowed in type(message).__struct_encode_fields__:
        assert allowed in str(refused.value)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_anything_at_all_is_either_decoded_or_refused(body: bytes) -> None:
    for message_type in TYPES:
        with contextlib.suppress(MalformedMessage):
            assert isinstance(decode_json(body, message_type), message_type)


@pytest.mark.parametrize(
    ("body", "message_type", "place"),
    [
        ({"raw_prompt": "x", "max_tokens": 0}, ContinueFromRawPrompt, "$.max_tokens"),
        ({"raw_prompt": "x"}, ContinueFromRawPrompt, "max_tokens"),
        (
            {"raw_prompt": "x", "max_tokens": 1, "sampling": {"top_p": 2}},
            ContinueFromRawPrompt,
            "$.sampling.top_p",
        ),
        (
            {"input_batch": [{"id": "a"}], "normalization_method": "L2"},
            GenerateEmbeddingBatch,
            "$.input_batch[0]",
        ),
        ({"model": {"Url": {"url": ""}}}, DesiredState, "$.model.Url.url"),
        ({"model": {}}, DesiredState, "$.model"),
    ],
)
def test_a_refusal_tells_the_place(body: object, message_type: type, place: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        decode_json(json.dumps(body), message_type)
    assert place in str(refused.value)


COMPLETE = msgspec.to_builtins(DesiredState())


@given(states)
def test_a_complete_desired_state_is_taken(state: DesiredState) -> None:
    assert decode_desired_state(msgspec.json.encode(state)) == state


def test_a_desired_state_may_lack_only_what_may_be_null() -> None:
    body = {key: value for key, value in COMPLETE.items() if key != "chat_template_override"}
    assert decode_desired_state(json.dumps(body).encode()) == DesiredState()


@pytest.mark.parametrize(
    "field",
    ["model", "multimodal_projection", "use_chat_template_override", "inference_parameters"],
)
def test_an_incomplete_desired_state_is_refused(field: str) -> None:
    body = {key: value for key, value in COMPLETE.items() if key != field}
    with pytest.raises(MalformedMessage, match=field):
        decode_desired_state(json.dumps(body).encode())


@pytest.mark.parametrize("field", InferenceParameters.__struct_encode_fields__)
def test_incomplete_inference_parameters_are_refused(field: str) -> None:
    given_parameters = {**COMPLETE["inference_parameters"]}
    del given_parameters[field]
    body = {**COMPLETE, "inference_parameters": given_parameters}
    with pytest.raises(MalformedMessage, match=field) as refused:
        decode_desired_state(json.dumps(body).encode())
    assert "$.inference_parameters" in str(refused.value)
