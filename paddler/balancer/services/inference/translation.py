"""From the public requests to what the balancer asks of an agent."""

from __future__ import annotations

import msgspec

from paddler.balancer.services.inference.limits import InferenceLimits
from paddler.messages.conversation import ImagePart, Message, Tool, ToolDefinition
from paddler.messages.decoding import MalformedMessage
from paddler.messages.generation import ConversationPrompt, GenerationOrder, RawPrompt
from paddler.messages.inference import ContinueFromConversationHistory, ContinueFromRawPrompt
from paddler.messages.sampling import Sampling

GenerationRequest = ContinueFromRawPrompt | ContinueFromConversationHistory


def generation_order(request: GenerationRequest, limits: InferenceLimits) -> GenerationOrder:
    """The order that `request` describes.

    Raises:
        MalformedMessage: More tools or images than allowed.
    """
    if isinstance(request, ContinueFromRawPrompt):
        return GenerationOrder(
            prompt=RawPrompt(request.raw_prompt),
            max_tokens=request.max_tokens,
            grammar=request.grammar,
            sampling=request.sampling or Sampling(),
            stop=request.stop or [],
            conversation_id=request.conversation_id,
        )
    return GenerationOrder(
        prompt=_conversation_prompt(request, limits),
        max_tokens=request.max_tokens,
        grammar=request.grammar,
        sampling=request.sampling or Sampling(),
        stop=request.stop or [],
        parse_tool_calls=bool(request.parse_tool_calls),
        conversation_id=request.conversation_id,
    )


def _conversation_prompt(
    request: ContinueFromConversationHistory, limits: InferenceLimits
) -> ConversationPrompt:
    tools = request.tools or []
    if len(tools) > limits.max_tools:
        message = f"at most {limits.max_tools} tools are allowed, not {len(tools)} - at `$.tools`"
        raise MalformedMessage(message)
    n_images = sum(
        isinstance(part, ImagePart)
        for message in request.conversation_history
        if not isinstance(message.content, str)
        for part in message.content
    )
    if n_images > limits.max_images:
        message = (
            f"at most {limits.max_images} images are allowed, not {n_images} "
            "- at `$.conversation_history`"
        )
        raise MalformedMessage(message)
    return ConversationPrompt(
        messages=[
            Message(role=message.role, content=message.content)
            for message in request.conversation_history
        ],
        add_generation_prompt=request.add_generation_prompt,
        enable_thinking=request.enable_thinking,
        tools=[_tool_definition(tool) for tool in tools],
    )


def _tool_definition(tool: Tool) -> ToolDefinition:
    function = tool.function
    return ToolDefinition(
        name=function.name,
        description=function.description,
        parameters=(
            msgspec.to_builtins(function.parameters) if function.parameters is not None else None
        ),
    )
