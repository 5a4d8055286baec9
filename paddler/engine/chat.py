"""Conversations to prompts.

Knows the template's format through llama.cpp: how a prompt looks, which
grammar constrains tool calls and structured answers, where reasoning and tool
calls begin. Does not generate anything.

Everything here computes without waiting: a rendering takes about a
millisecond for a short conversation, more with many tools. Any thread may
call; renderings of one `ChatTemplates` wait for each other.
"""

from __future__ import annotations

from typing import Any, Self

import msgspec
from msgspec.structs import replace

from paddler.engine.errors import BadSchema, BadTemplate, InvalidArgument
from paddler.engine.library import ffi, lib, new_error, raise_for_status, take_string
from paddler.engine.pixels import MEDIA_MARKER
from paddler.engine.rendered_conversation import OutputParser, RenderedConversation
from paddler.engine.requests import ClassMarker, GrammarConstraint, TokenClass
from paddler.engine.tool_call_grammar import call_or_answer_grammar, tool_call_grammar
from paddler.messages.conversation import ImagePart, Message, ToolDefinition
from paddler.messages.generation import ConversationPrompt, ToolChoice


class _Marker(msgspec.Struct, frozen=True):
    text: str
    when: int
    becomes: int
    emit: bool


class _Rendered(msgspec.Struct, frozen=True):
    """What pdl_chat_render returns."""

    prompt: str
    message_starts: list[int]
    grammar: str
    grammar_lazy: bool
    grammar_trigger_patterns: list[str]
    grammar_trigger_tokens: list[int]
    grammar_prefix: str
    preserved_tokens: list[int]
    additional_stops: list[str]
    supports_thinking: bool
    initial_class: int
    markers: list[_Marker]
    tool_calls_recognizable: bool
    parser: str


class ChatTemplates:
    """A model's chat template, compiled; to be closed before the model is freed."""

    def __init__(self, handle: Any, source: str) -> None:
        self._handle = handle
        self.source = source

    @classmethod
    def open(cls, model: Any | None, override: str | None = None) -> Self | None:
        """Compiles `override`, or the template in the model's file; None if there is neither.

        `model` is a `pdl_model *`, or None to compile a template without its
        tokens. Takes some milliseconds.

        Raises:
            BadTemplate: the template does not compile.
        """
        if override is None and (model is None or not _has_template(model)):
            return None
        if override is not None and "\0" in override:
            raise BadTemplate("the chat template contains a NUL character")
        templates, error = ffi.new("pdl_chat_templates **"), new_error()
        status = lib.pdl_chat_open(
            ffi.NULL if model is None else model,
            ffi.NULL if override is None else override.encode(),
            templates,
            error,
        )
        raise_for_status(status, error)
        handle = ffi.gc(templates[0], lib.pdl_chat_free)
        source = ffi.new("char **")
        raise_for_status(lib.pdl_chat_source(handle, source, error), error)
        return cls(handle, take_string(source))

    def close(self) -> None:
        """Frees the compiled template; rendering is over. Idempotent."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            ffi.release(handle)

    def render(
        self, prompt: ConversationPrompt, *, json_schema: str | None = None
    ) -> RenderedConversation:
        """Renders a conversation; with `json_schema` (JSON text) the answer has to fit it.

        Tools may be called all the same, if `tool_choice` is AUTO and the format
        allows it. Images become `MEDIA_MARKER`, in their order.

        Raises:
            BadTemplate: the template refuses this conversation.
            BadSchema: no grammar can be made of the schema, or of a tool's.
            InvalidArgument: the conversation itself is malformed.
        """
        if self._handle is None:
            raise InvalidArgument("the chat template is closed")
        is_parallel = prompt.parallel_tool_calls
        if json_schema is not None and prompt.tools and prompt.tool_choice is ToolChoice.AUTO:
            calls = self._render(replace(prompt, tool_choice=ToolChoice.REQUIRED), None)
            answer = json_schema_to_grammar(json_schema)
            chosen = call_or_answer_grammar(calls.grammar, answer, is_parallel=is_parallel)
            if chosen is not None:
                return _conversation(calls, chosen)
        rendered = self._render(prompt, json_schema)
        if not prompt.tools:
            return _conversation(rendered, rendered.grammar)
        is_required = prompt.tool_choice is ToolChoice.REQUIRED
        grammar = tool_call_grammar(
            rendered.grammar, is_required=is_required, is_parallel=is_parallel
        )
        return _conversation(rendered, grammar)

    def _render(self, prompt: ConversationPrompt, json_schema: str | None) -> _Rendered:
        request = msgspec.json.encode(_request(prompt, json_schema))
        result, error = ffi.new("char **"), new_error()
        raise_for_status(lib.pdl_chat_render(self._handle, request, result, error), error)
        return msgspec.json.decode(take_string(result), type=_Rendered)


def json_schema_to_grammar(schema_text: str) -> str:
    """GBNF whose rule "root" accepts the JSON texts that fit a JSON Schema.

    Raises:
        BadSchema: not JSON, not a schema, or one that has no grammar.
    """
    if "\0" in schema_text:
        raise BadSchema("the schema contains a NUL character")
    grammar, error = ffi.new("char **"), new_error()
    raise_for_status(lib.pdl_schema_to_grammar(schema_text.encode(), grammar, error), error)
    return take_string(grammar)


def _has_template(model: Any) -> bool:
    text, error = ffi.new("char **"), new_error()
    raise_for_status(lib.pdl_model_chat_template(model, text, error), error)
    if text[0] == ffi.NULL:
        return False
    take_string(text)
    return True


def _request(prompt: ConversationPrompt, json_schema: str | None) -> dict[str, object]:
    return {
        "messages": [_message(message) for message in prompt.messages],
        "tools": [_tool(tool) for tool in prompt.tools],
        "tool_choice": prompt.tool_choice,
        "parallel_tool_calls": prompt.parallel_tool_calls,
        "add_generation_prompt": prompt.add_generation_prompt,
        "enable_thinking": prompt.enable_thinking,
        "template_arguments": prompt.template_arguments,
        "json_schema": json_schema,
    }


def _message(message: Message) -> dict[str, object]:
    """A message in the shape of OpenAI's API, which llama.cpp reads."""
    shaped: dict[str, object] = {"role": message.role}
    if isinstance(message.content, list):
        shaped["content"] = [
            {"type": "media_marker", "text": MEDIA_MARKER}
            if isinstance(part, ImagePart)
            else {"type": "text", "text": part.text}
            for part in message.content
        ]
    elif message.content is not None or not message.tool_calls:
        shaped["content"] = message.content or ""
    if message.tool_calls:
        shaped["tool_calls"] = [
            {
                "type": "function",
                "id": call.id,
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    for key in ("reasoning_content", "tool_call_id", "name"):
        if (value := getattr(message, key)) is not None:
            shaped[key] = value
    return shaped


def _tool(tool: ToolDefinition) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name, "description": tool.description}
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    return {"type": "function", "function": function}


def _conversation(rendered: _Rendered, grammar_text: str) -> RenderedConversation:
    grammar = None
    if grammar_text:
        grammar = GrammarConstraint(
            text=grammar_text,
            lazy=rendered.grammar_lazy,
            trigger_patterns=rendered.grammar_trigger_patterns,
            trigger_tokens=rendered.grammar_trigger_tokens,
            prefix=rendered.grammar_prefix,
        )
    return RenderedConversation(
        text=rendered.prompt,
        grammar=grammar,
        preserved_tokens=rendered.preserved_tokens,
        stops=rendered.additional_stops,
        markers=[
            ClassMarker(
                text=marker.text,
                when=None if marker.when < 0 else TokenClass(marker.when),
                becomes=TokenClass(marker.becomes),
                emit=marker.emit,
            )
            for marker in rendered.markers
        ],
        initial_class=TokenClass(rendered.initial_class),
        supports_thinking=rendered.supports_thinking,
        message_starts=_character_offsets(rendered.prompt, rendered.message_starts),
        tool_calls_recognizable=rendered.tool_calls_recognizable,
        parser=OutputParser(rendered.parser),
    )


def _character_offsets(text: str, byte_offsets: list[int]) -> list[int]:
    """Ascending offsets into the UTF-8 of a text, as offsets into the text."""
    if text.isascii():
        return byte_offsets
    raw = text.encode()
    offsets = []
    characters = previous = 0
    for offset in byte_offsets:
        characters += len(raw[previous:offset].decode("utf-8", "replace"))
        offsets.append(characters)
        previous = offset
    return offsets
