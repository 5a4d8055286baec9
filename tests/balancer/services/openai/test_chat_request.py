"""What a chat request asks of the agent."""

from __future__ import annotations

import json

import pytest

from paddler.balancer.services.openai.chat_request import ChatRequest, chat_order
from paddler.balancer.services.openai.errors import BadRequest
from paddler.balancer.services.openai.limits import OpenAiLimits
from paddler.messages.conversation import (
    ImagePart,
    ImageUrl,
    Message,
    RequestedToolCall,
    TextPart,
    ToolDefinition,
)
from paddler.messages.decoding import decode_json
from paddler.messages.generation import ConversationPrompt, GenerationOrder, ToolChoice
from paddler.messages.grammar import GbnfGrammar, JsonSchemaGrammar
from paddler.messages.sampling import Sampling

HELLO = [{"role": "user", "content": "Hello"}]
LIMITS = OpenAiLimits(max_tools=2, max_images=1)


def function(name: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def order_of(**body: object) -> GenerationOrder:
    request = decode_json(json.dumps({"messages": HELLO, **body}), ChatRequest)
    return chat_order(request, LIMITS)


def prompt_of(**body: object) -> ConversationPrompt:
    prompt = order_of(**body).prompt
    assert isinstance(prompt, ConversationPrompt)
    return prompt


def test_every_kind_of_message_reaches_the_template() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    image = {"url": "data:image/png;base64,AA==", "detail": "low"}
    messages = [
        {"role": "system", "content": "Be brief"},
        {"role": "developer", "content": [{"type": "text", "text": "Really"}]},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "This?"},
                {"type": "image_url", "image_url": image},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    assert prompt_of(messages=messages).messages == [
        Message(role="system", content="Be brief"),
        Message(role="developer", content=[TextPart("Really")]),
        Message(
            role="user",
            name="ann",
            content=[TextPart("This?"), ImagePart(ImageUrl("data:image/png;base64,AA=="))],
        ),
        Message(
            role="assistant",
            tool_calls=[RequestedToolCall(id="c1", name="now", arguments="{}")],
            reasoning_content="hm",
        ),
        Message(role="tool", tool_call_id="c1", content="noon"),
        Message(role="assistant", content=[TextPart("No.")]),
    ]


def test_sampling_parameters_are_passed_on_and_others_left_to_the_fleet() -> None:
    assert order_of().sampling == Sampling()
    sampling = order_of(
        temperature=0.5,
        top_p=0.9,
        top_k=-1,
        min_p=0.1,
        seed=2**40 + 3,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        repetition_penalty=1.2,
        logit_bias={"50": -100},
    ).sampling
    assert sampling == Sampling(
        temperature=0.5,
        top_p=0.9,
        top_k=0,
        min_p=0.1,
        seed=3,
        penalty_presence=0.2,
        penalty_frequency=0.3,
        penalty_repeat=1.2,
        logit_bias={50: -100.0},
    )


def test_the_newer_name_of_max_tokens_counts() -> None:
    assert order_of().max_tokens is None
    assert order_of(max_tokens=5).max_tokens == 5
    assert order_of(max_tokens=5, max_completion_tokens=7).max_tokens == 7


def test_stop_is_one_string_or_several() -> None:
    assert order_of(stop="a").stop == ["a"]
    assert order_of(stop=["a", "b"]).stop == ["a", "b"]


def test_logprobs_are_off_unless_asked_for() -> None:
    assert order_of().n_logprobs is None
    assert order_of(logprobs=True).n_logprobs == 0
    assert order_of(logprobs=True, top_logprobs=4).n_logprobs == 4


def test_the_cache_key_is_the_better_hint_and_long_ones_are_hashed() -> None:
    assert order_of(user="u").conversation_id == "u"
    assert order_of(user="u", prompt_cache_key="k").conversation_id == "k"
    assert len(str(order_of(user="u" * 300).conversation_id)) == 64


@pytest.mark.parametrize(
    ("body", "thinks"),
    [
        ({}, True),
        ({"reasoning_effort": "high"}, True),
        ({"reasoning_effort": "none"}, False),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"response_format": {"type": "json_object"}}, False),
        ({"response_format": {"type": "text"}}, True),
    ],
)
def test_the_model_thinks_unless_it_must_not(body: dict[str, object], thinks: bool) -> None:
    assert prompt_of(**body).enable_thinking is thinks


def test_effort_and_template_arguments_reach_the_template() -> None:
    prompt = prompt_of(reasoning_effort="low", chat_template_kwargs={"style": {"a": 1}})
    assert prompt.template_arguments == {"reasoning_effort": '"low"', "style": '{"a":1}'}


@pytest.mark.parametrize(
    ("choice", "names", "expected", "parallel"),
    [
        (None, ["a", "b"], ToolChoice.AUTO, True),
        ("auto", ["a", "b"], ToolChoice.AUTO, True),
        ("none", ["a", "b"], ToolChoice.NONE, False),
        ("required", ["a", "b"], ToolChoice.REQUIRED, True),
        ({"type": "function", "function": {"name": "b"}}, ["b"], ToolChoice.REQUIRED, False),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [function("a")]},
            },
            ["a"],
            ToolChoice.REQUIRED,
            True,
        ),
    ],
)
def test_tool_choice(
    choice: object, names: list[str], expected: ToolChoice, parallel: bool
) -> None:
    prompt = prompt_of(tools=[function("a"), function("b")], tool_choice=choice)
    assert [tool.name for tool in prompt.tools] == names
    assert prompt.tool_choice is expected
    assert prompt.parallel_tool_calls is parallel
    assert prompt.tools[0] == ToolDefinition(name=names[0], parameters={"type": "object"})


def test_tool_calls_are_looked_for_only_where_they_may_be() -> None:
    assert not order_of().parse_tool_calls
    assert not order_of(tools=[function("a")], tool_choice="none").parse_tool_calls
    assert order_of(tools=[function("a")]).parse_tool_calls
    assert not order_of(tools=[function("a")]).stream_tool_calls
    assert order_of(tools=[function("a")], stream=True).stream_tool_calls
    assert not order_of(stream=True).stream_tool_calls


def test_calls_are_not_parallel_where_the_request_says_so() -> None:
    assert not prompt_of(tools=[function("a")], parallel_tool_calls=False).parallel_tool_calls


def test_a_format_becomes_a_grammar() -> None:
    assert order_of(response_format={"type": "json_object"}).grammar == JsonSchemaGrammar(
        '{"type":"object"}'
    )
    named = {"name": "x", "schema": {"type": "integer"}, "strict": True}
    wanted = {"type": "json_schema", "json_schema": named}
    assert order_of(response_format=wanted).grammar == JsonSchemaGrammar('{"type":"integer"}')
    assert order_of(grammar='root ::= "a"').grammar == GbnfGrammar('root ::= "a"', "root")


def test_a_format_stays_where_tools_may_be_called() -> None:
    order = order_of(tools=[function("a")], response_format={"type": "json_object"})
    assert order.grammar == JsonSchemaGrammar('{"type":"object"}')
    assert order.parse_tool_calls


def test_a_required_call_leaves_the_format_to_later_answers() -> None:
    order = order_of(
        tools=[function("a")], tool_choice="required", response_format={"type": "json_object"}
    )
    assert order.grammar is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [function("a"), function("b"), function("c")]}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [function("a")], "tool_choice": {"type": "custom"}}, "tool_choice"),
        (
            {
                "tools": [function("a")],
                "tool_choice": {"type": "function", "function": {"name": "z"}},
            },
            "tool_choice",
        ),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "json_object"}, "grammar": "root ::= 1"}, "grammar"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:,"}}] * 2,
                    }
                ]
            },
            "messages",
        ),
    ],
)
def test_contradictions_are_refused_with_the_fields_name(
    body: dict[str, object], param: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        order_of(**body)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [], "tool_choice": "auto"},
        {"tools": None, "tool_choice": None, "parallel_tool_calls": None},
        {"tools": [], "tool_choice": "none"},
        {"functions": None, "function_call": None},
        {"functions": [], "function_call": "auto"},
        {"max_tokens": None, "max_completion_tokens": None, "n": None, "seed": None},
        {"stop": None, "stream": None, "stream_options": None, "response_format": None},
        {"stop": [], "logit_bias": {}, "response_format": {"type": "text"}},
        {"logprobs": False, "top_logprobs": 0},
        {"logprobs": None, "top_logprobs": None},
        {"modalities": ["text"], "audio": None, "prediction": None},
        {"metadata": {"a": "b"}, "store": False, "service_tier": "auto", "verbosity": "low"},
        {"stream": False, "stream_options": {"include_usage": True, "include_obfuscation": False}},
        {"user": None, "reasoning_effort": None, "frequency_penalty": None, "temperature": 1},
        {"tools": [{"type": "function", "function": {"name": "a"}}]},
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": {}}}]},
        {"tools": [{"type": "function", "function": {"name": "a", "strict": None}}]},
    ],
)
def test_unusual_ways_to_say_nothing_in_particular(body: dict[str, object]) -> None:
    assert prompt_of(**body).messages == [Message(role="user", content="Hello")]


def test_messages_that_answers_are_sent_back_as() -> None:
    """As typed clients dump them, with fields that say nothing."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {}}]},
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "audio": None,
            "annotations": [],
            "function_call": None,
            "tool_calls": [
                {"index": 0, "id": "c1", "type": "function", "function": {"name": "f"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": ""}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "one"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "two", "name": "f"},
        {"role": "assistant", "content": "", "tool_calls": None},
    ]
    calls = [RequestedToolCall(id=call_id, name="f", arguments="{}") for call_id in ("c1", "c2")]
    assert prompt_of(messages=messages).messages == [
        Message(role="user", content=[TextPart("Hi")]),
        Message(role="assistant", content=None, tool_calls=calls),
        Message(role="tool", content=[TextPart("one")], tool_call_id="c1"),
        Message(role="tool", content="two", tool_call_id="c2", name="f"),
        Message(role="assistant", content=""),
    ]


def test_calls_of_functions_become_tool_calls() -> None:
    called = {"name": "now", "arguments": '{"zone": "UTC"}'}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "function_call": called},
        {"role": "function", "name": "now", "content": "noon"},
    ]
    call = RequestedToolCall(id="000000001", name="now", arguments='{"zone": "UTC"}')
    assert prompt_of(messages=messages).messages[1:] == [
        Message(role="assistant", content=None, tool_calls=[call]),
        Message(role="tool", content="noon", tool_call_id="000000001", name="now"),
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"functions": [{"name": "a"}]}, "functions"),
        ({"function_call": {"name": "a"}}, "function_call"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "x"}}, "modalities"),
    ],
)
def test_what_would_be_ignored_to_no_good_is_refused(body: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        order_of(**body)
    assert refused.value.param == param
