"""Requests of `/v1/chat/completions`, and the order that one describes.

Fields nobody here knows are ignored: OpenAI's own clients send more than
servers understand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from paddler.balancer.services.openai.errors import BadRequest
from paddler.balancer.services.openai.limits import OpenAiLimits
from paddler.balancer.services.openai.parameters import (
    MaxTokens,
    NChoices,
    NTopLogprobs,
    SamplingParameters,
    StreamOptions,
)
from paddler.balancer.services.openai.schemas import ANY_OBJECT, schema_text
from paddler.balancer.services.openai.tools import (
    ToolChoiceField,
    ToolPlan,
    ToolSpec,
    definitions_of_chat,
    plan_tools,
)
from paddler.messages.conversation import (
    ContentPart,
    ImagePart,
    ImageUrl,
    Message,
    RequestedToolCall,
    TextPart,
)
from paddler.messages.generation import ConversationPrompt, GenerationOrder
from paddler.messages.grammar import GbnfGrammar, Grammar, JsonSchemaGrammar


class TextContent(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Text within a message."""

    text: str


class RefusalContent(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    """What an earlier assistant refused with."""

    refusal: str


class ImageSource(msgspec.Struct, frozen=True):
    """`url` is a base64 data URI."""

    url: str


class ImageContent(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """An image within a message."""

    image_url: ImageSource


class CalledFunction(msgspec.Struct, frozen=True):
    """A call that an earlier assistant made; `arguments` is JSON text."""

    name: str
    arguments: str | None = None


class CalledTool(msgspec.Struct, frozen=True):
    """A tool call of an earlier assistant."""

    id: str
    function: CalledFunction


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn; `function_call` and the role `function` are from before there were tools."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextContent | RefusalContent | ImageContent] | None = None
    name: str | None = None
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class NamedSchema(msgspec.Struct, frozen=True):
    """The schema of a structured answer."""

    name: str | None = None
    schema: object = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    """`schema` beside `json_object` is llama-server's way to give one."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None
    schema: object = None


class ChatRequest(SamplingParameters, frozen=True, kw_only=True):
    """A chat completion."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    n: NChoices | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: NTopLogprobs | None = None
    response_format: ResponseFormat | None = None
    grammar: str | None = None
    tools: list[ToolSpec] | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    functions: object = None
    function_call: object = None
    modalities: list[str] | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, object] | None = None
    add_generation_prompt: bool | None = None


def chat_order(request: ChatRequest, limits: OpenAiLimits) -> GenerationOrder:
    """The order that `request` describes, for each of its choices.

    Raises:
        BadRequest: It contradicts itself, or asks for more than is allowed.
    """
    _refuse_what_is_not_served(request)
    if request.top_logprobs and not request.logprobs:
        message = "`top_logprobs` needs `logprobs` to be true"
        raise BadRequest(message, param="top_logprobs")
    plan = plan_tools(
        definitions_of_chat(request.tools or []),
        request.tool_choice,
        parallel=request.parallel_tool_calls,
        max_tools=limits.max_tools,
    )
    messages = _messages(request.messages)
    check_images(messages, limits)
    max_tokens = (
        request.max_completion_tokens
        if request.max_completion_tokens is not None
        else request.max_tokens
    )
    return conversation_order(
        request,
        messages=messages,
        plan=plan,
        grammar=_grammar(request),
        reasoning_effort=request.reasoning_effort,
        template_arguments=request.chat_template_kwargs or {},
        max_tokens=max_tokens,
        n_logprobs=(request.top_logprobs or 0) if request.logprobs else None,
        add_generation_prompt=request.add_generation_prompt is not False,
    )


def conversation_order(
    request: SamplingParameters,
    *,
    messages: list[Message],
    plan: ToolPlan,
    grammar: Grammar | None,
    reasoning_effort: str | None,
    max_tokens: int | None,
    n_logprobs: int | None,
    template_arguments: Mapping[str, object],
    add_generation_prompt: bool = True,
) -> GenerationOrder:
    """An order of chat completions or responses.

    The model thinks if its template knows how to, unless the request says
    otherwise or a grammar has to hold from the first token on.
    """
    if plan.must_call:
        # The answer is a tool call; the format is for the answers that follow.
        grammar = None
    arguments = {
        name: msgspec.json.encode(value).decode()
        for name, value in template_arguments.items()
        if name != "enable_thinking"
    }
    thinks = template_arguments.get("enable_thinking", reasoning_effort != "none") is not False
    if reasoning_effort is not None:
        arguments.setdefault("reasoning_effort", msgspec.json.encode(reasoning_effort).decode())
    return GenerationOrder(
        prompt=ConversationPrompt(
            messages=messages,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=thinks and grammar is None,
            tools=list(plan.tools),
            tool_choice=plan.choice,
            parallel_tool_calls=plan.parallel,
            template_arguments=arguments,
        ),
        max_tokens=max_tokens,
        grammar=grammar,
        sampling=request.sampling(),
        stop=request.stop_strings(),
        parse_tool_calls=plan.may_call,
        validate_tool_calls=False,
        stream_tool_calls=plan.may_call and bool(request.stream),
        n_logprobs=n_logprobs,
        ignore_eos=bool(request.ignore_eos),
        conversation_id=request.routing_hint(),
    )


def check_images(messages: Sequence[Message], limits: OpenAiLimits) -> None:
    """Count the images.

    Raises:
        BadRequest: More than allowed.
    """
    n_images = sum(
        isinstance(part, ImagePart)
        for message in messages
        if isinstance(message.content, list)
        for part in message.content
    )
    if n_images > limits.max_images:
        message = f"at most {limits.max_images} images are allowed, not {n_images}"
        raise BadRequest(message, param="messages")


def schema_grammar(schema: object, *, strict: bool | None, param: str) -> Grammar:
    """The grammar of a structured answer.

    Raises:
        BadRequest: See `schema_text`.
    """
    return JsonSchemaGrammar(schema_text(schema, strict=bool(strict), param=param))


def _grammar(request: ChatRequest) -> Grammar | None:
    wanted = request.response_format
    if request.grammar is not None:
        if wanted is not None and wanted.type != "text":
            message = "`grammar` and `response_format` exclude each other"
            raise BadRequest(message, param="grammar")
        return GbnfGrammar(grammar=request.grammar, root="root")
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        if wanted.schema is None:
            return JsonSchemaGrammar(ANY_OBJECT)
        return schema_grammar(wanted.schema, strict=False, param="response_format.schema")
    named = wanted.json_schema or NamedSchema()
    return schema_grammar(
        named.schema, strict=named.strict, param="response_format.json_schema.schema"
    )


def _refuse_what_is_not_served(request: ChatRequest) -> None:
    if request.functions:
        message = "`functions` is not supported; give them as `tools`"
        raise BadRequest(message, param="functions", code="unsupported_parameter")
    if request.function_call not in (None, "auto", "none"):
        message = "`function_call` is not supported; use `tool_choice`"
        raise BadRequest(message, param="function_call", code="unsupported_parameter")
    if any(modality != "text" for modality in request.modalities or []):
        message = "answers are text; other `modalities` are not supported"
        raise BadRequest(message, param="modalities", code="unsupported_parameter")


def _messages(messages: Sequence[ChatMessage]) -> list[Message]:
    """The turns as templates know them; calls of functions get ids and become tool calls."""
    turned = []
    function_call_id: str | None = None
    for index, message in enumerate(messages):
        calls = [_called(call.id, call.function) for call in message.tool_calls or []]
        if message.function_call is not None:
            # As long as Mistral's templates want it.
            function_call_id = f"{index:09}"
            calls.append(_called(function_call_id, message.function_call))
        is_function = message.role == "function"
        turned.append(
            Message(
                role="tool" if is_function else message.role,
                content=_content(message),
                reasoning_content=message.reasoning_content or message.reasoning,
                tool_calls=calls,
                tool_call_id=function_call_id if is_function else message.tool_call_id,
                name=message.name,
            )
        )
    return turned


def _called(call_id: str, function: CalledFunction) -> RequestedToolCall:
    return RequestedToolCall(id=call_id, name=function.name, arguments=function.arguments or "{}")


def _content(message: ChatMessage) -> str | list[ContentPart] | None:
    content = message.content
    if content is None:
        return message.refusal
    if isinstance(content, str):
        return content
    return [_part(part) for part in content]


def _part(part: TextContent | RefusalContent | ImageContent) -> ContentPart:
    match part:
        case TextContent(text):
            return TextPart(text)
        case RefusalContent(refusal):
            return TextPart(refusal)
        case ImageContent(image_url):
            return ImagePart(ImageUrl(image_url.url))
