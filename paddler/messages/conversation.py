"""Conversations and tools, as the public contract has them.

`Message` is wider than what the inference service accepts: the OpenAI service
also carries tool calls and tool results. `ConversationMessage` is the narrow,
strictly decoded shape of the inference service.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec


class ImageUrl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`url` is a base64 data URI; anything else is refused when decoded."""

    url: str


class TextPart(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"
):
    """A piece of text within a message."""

    text: str


class ImagePart(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="image_url"
):
    """An image within a message."""

    image_url: ImageUrl


ContentPart = TextPart | ImagePart


class ConversationMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of a conversation as the inference service takes it."""

    role: str
    content: str | list[ContentPart]


class RequestedToolCall(msgspec.Struct, frozen=True):
    """A tool call that an earlier assistant turn made; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation as the chat template gets it."""

    role: str
    content: str | list[ContentPart] | None = None
    reasoning_content: str | None = None
    tool_calls: list[RequestedToolCall] = []
    tool_call_id: str | None = None
    name: str | None = None


def images_of(messages: Iterable[Message | ConversationMessage]) -> list[ImagePart]:
    """The images of a conversation, in order."""
    return [
        part
        for message in messages
        if isinstance(message.content, list)
        for part in message.content
        if isinstance(part, ImagePart)
    ]


class ParametersSchema(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"schema_type": "type", "additional_properties": "additionalProperties"},
):
    """The JSON Schema of a tool's parameters, limited to what the contract lists."""

    schema_type: str
    properties: dict[str, object] | None = None
    required: list[str] | None = None
    additional_properties: object | None = None


class ToolFunction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function that the model may ask the application to call."""

    name: str
    description: str
    parameters: ParametersSchema | None = None


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool as the inference service takes it."""

    type: Literal["function"]
    function: ToolFunction


class ToolDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool as the agent gets it: any JSON Schema object, or none."""

    name: str
    description: str = ""
    parameters: dict[str, object] | None = None
