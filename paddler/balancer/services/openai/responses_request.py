"""Requests of `/v1/responses`, and the order that one describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from paddler.balancer.services.openai.chat_request import (
    check_images,
    conversation_order,
    schema_grammar,
)
from paddler.balancer.services.openai.errors import BadRequest
from paddler.balancer.services.openai.limits import OpenAiLimits
from paddler.balancer.services.openai.parameters import (
    MaxTokens,
    NTopLogprobs,
    SamplingParameters,
)
from paddler.balancer.services.openai.schemas import ANY_OBJECT
from paddler.balancer.services.openai.tools import (
    FunctionSpec,
    ToolChoiceField,
    definition,
    plan_tools,
    unsupported_tool,
)
from paddler.messages.conversation import (
    ContentPart,
    ImagePart,
    ImageUrl,
    Message,
    RequestedToolCall,
    TextPart,
    ToolDefinition,
)
from paddler.messages.generation import GenerationOrder
from paddler.messages.grammar import Grammar, JsonSchemaGrammar

LOGPROBS = "message.output_text.logprobs"
"""What `include` names to get log-probabilities."""

_TEXT_PARTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")


class InputPart(msgspec.Struct, frozen=True):
    """A part of an item's content; which fields are there depends on `type`."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None


class InputItem(msgspec.Struct, frozen=True):
    """An input item; which fields are there depends on `type`."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[InputPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[InputPart] | None = None
    summary: list[InputPart] | None = None


class ResponseTool(msgspec.Struct, frozen=True):
    """A tool of a response: a function, flat."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class TextFormat(msgspec.Struct, frozen=True):
    """How the answer's text has to look."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: object = None
    strict: bool | None = None


class TextOptions(msgspec.Struct, frozen=True):
    """`text` of a request."""

    format: TextFormat | None = None


class ReasoningOptions(msgspec.Struct, frozen=True):
    """`reasoning` of a request; there is no summarizer, so `summary` has no effect."""

    effort: str | None = None


class ResponsesRequest(SamplingParameters, frozen=True, kw_only=True):
    """A response."""

    input: str | Annotated[list[InputItem], Meta(min_length=1)]
    instructions: str | None = None
    max_output_tokens: MaxTokens | None = None
    tools: list[ResponseTool] | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    include: list[str] | None = None
    top_logprobs: NTopLogprobs | None = None
    chat_template_kwargs: dict[str, object] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: object = None
    prompt: object = None
    background: bool | None = None


def responses_order(request: ResponsesRequest, limits: OpenAiLimits) -> GenerationOrder:
    """The order that `request` describes.

    Raises:
        BadRequest: It needs what is not kept here, contradicts itself, or asks
            for more than is allowed.
    """
    _refuse_what_is_not_kept(request)
    plan = plan_tools(
        _definitions(request.tools or []),
        request.tool_choice,
        parallel=request.parallel_tool_calls,
        max_tools=limits.max_tools,
    )
    messages = _messages(request)
    check_images(messages, limits)
    return conversation_order(
        request,
        messages=messages,
        plan=plan,
        grammar=_grammar(request),
        reasoning_effort=request.reasoning.effort if request.reasoning is not None else None,
        template_arguments=request.chat_template_kwargs or {},
        max_tokens=request.max_output_tokens,
        n_logprobs=(request.top_logprobs or 0) if LOGPROBS in (request.include or ()) else None,
    )


def _refuse_what_is_not_kept(request: ResponsesRequest) -> None:
    nothing_kept = "this server keeps no responses; send the whole conversation as `input`"
    refused = {
        "store": bool(request.store),
        "previous_response_id": request.previous_response_id is not None,
        "conversation": request.conversation is not None,
        "background": bool(request.background),
        "prompt": request.prompt is not None,
    }
    for param, is_asked in refused.items():
        if is_asked:
            message = f"`{param}` is not supported: {nothing_kept}"
            raise BadRequest(message, param=param, code="unsupported_parameter")


def _definitions(tools: Sequence[ResponseTool]) -> list[ToolDefinition]:
    definitions = []
    for position, tool in enumerate(tools):
        if tool.type != "function":
            raise unsupported_tool(tool.type, f"tools[{position}]")
        if not tool.name:
            message = "a function needs a `name`"
            raise BadRequest(message, param=f"tools[{position}].name")
        function = FunctionSpec(
            name=tool.name, description=tool.description, parameters=tool.parameters
        )
        definitions.append(definition(function))
    return definitions


def _grammar(request: ResponsesRequest) -> Grammar | None:
    wanted = request.text.format if request.text is not None else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return JsonSchemaGrammar(ANY_OBJECT)
    return schema_grammar(wanted.schema, strict=wanted.strict, param="text.format.schema")


def _messages(request: ResponsesRequest) -> list[Message]:
    conversation = _Conversation()
    if request.instructions:
        conversation.add(Message(role="system", content=request.instructions))
    if isinstance(request.input, str):
        conversation.add(Message(role="user", content=request.input))
    else:
        for position, item in enumerate(request.input):
            conversation.add_item(item, f"input[{position}]")
    return conversation.messages


class _Conversation:
    """Items put together to messages: what one assistant turn said, thought and called."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._reasoning: str | None = None

    def add(self, message: Message) -> None:
        """Add a message; an assistant's takes the reasoning that preceded it."""
        if message.role == "assistant" and self._reasoning is not None:
            message = msgspec.structs.replace(message, reasoning_content=self._reasoning)
        self._reasoning = None
        self.messages.append(message)

    def add_item(self, item: InputItem, param: str) -> None:
        """Add an item.

        Raises:
            BadRequest: A kind of item that is not supported, or one that lacks something.
        """
        match item.type:
            case "message":
                if item.role is None or item.content is None:
                    raise _lacking("a message needs `role` and `content`", param)
                self.add(Message(role=item.role, content=_content(item.content, param)))
            case "function_call":
                if item.call_id is None or item.name is None:
                    raise _lacking("a function call needs `call_id` and `name`", param)
                self._add_call(
                    RequestedToolCall(
                        id=item.call_id, name=item.name, arguments=item.arguments or "{}"
                    )
                )
            case "function_call_output":
                if item.call_id is None or item.output is None:
                    raise _lacking("a function's output needs `call_id` and `output`", param)
                content = _content(item.output, param)
                self.add(Message(role="tool", content=content, tool_call_id=item.call_id))
            case "reasoning":
                parts = item.content if isinstance(item.content, list) else []
                texts = [part.text or "" for part in parts or item.summary or []]
                self._reasoning = "\n".join(texts) or None
            case "item_reference":
                message = (
                    "items cannot be referred to: this server keeps no responses; "
                    "clients told `store: false` send them whole"
                )
                raise BadRequest(message, param=param, code="unsupported_item")
            case _:
                message = f"input items of the type `{item.type}` are not supported"
                raise BadRequest(message, param=param, code="unsupported_item")

    def _add_call(self, call: RequestedToolCall) -> None:
        if self._reasoning is None and self.messages and self.messages[-1].role == "assistant":
            last = self.messages[-1]
            self.messages[-1] = msgspec.structs.replace(last, tool_calls=[*last.tool_calls, call])
            return
        self.add(Message(role="assistant", tool_calls=[call]))


def _content(content: str | list[InputPart], param: str) -> str | list[ContentPart]:
    if isinstance(content, str):
        return content
    return [_part(part, f"{param}.content[{index}]") for index, part in enumerate(content)]


def _part(part: InputPart, param: str) -> ContentPart:
    if part.type in _TEXT_PARTS and part.text is not None:
        return TextPart(part.text)
    if part.type == "refusal" and part.refusal is not None:
        return TextPart(part.refusal)
    if part.type == "input_image" and part.image_url is not None:
        return ImagePart(ImageUrl(part.image_url))
    message = f"content of the type `{part.type}` is not supported, or it is incomplete"
    raise BadRequest(message, param=param, code="unsupported_content")


def _lacking(message: str, param: str) -> BadRequest:
    return BadRequest(message, param=param)
