"""Requests of the inference service: the public JSON contract.

Field order, names and optionality are part of the contract; a field that may
be null may also be left out, and unknown fields are refused.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from paddler.messages.conversation import ConversationMessage, Tool
from paddler.messages.grammar import Grammar
from paddler.messages.sampling import Sampling

MAX_STOP_STRINGS = 16
MAX_CONVERSATION_ID_CHARS = 256

MaxTokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
StopStrings = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=MAX_STOP_STRINGS)]
ConversationId = Annotated[str, Meta(max_length=MAX_CONVERSATION_ID_CHARS)]


class ContinueFromRawPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Generate what follows `raw_prompt`, which reaches the model as it is."""

    raw_prompt: str
    max_tokens: MaxTokens
    grammar: Grammar | None = None
    sampling: Sampling | None = None
    stop: StopStrings | None = None
    conversation_id: ConversationId | None = None
    include_timings: bool | None = None


class ContinueFromConversationHistory(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Generate the next message of a conversation, rendered by the chat template."""

    conversation_history: list[ConversationMessage]
    add_generation_prompt: bool
    enable_thinking: bool
    max_tokens: MaxTokens
    grammar: Grammar | None = None
    tools: list[Tool] | None = None
    parse_tool_calls: bool | None = None
    sampling: Sampling | None = None
    stop: StopStrings | None = None
    conversation_id: ConversationId | None = None
    include_timings: bool | None = None
