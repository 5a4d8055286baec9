"""Ids for tool calls in formats that give them none."""

from __future__ import annotations

import secrets
import string

TOOL_CALL_ID_LENGTH = 9
"""What Mistral's templates demand when the call comes back in a conversation."""


def new_tool_call_id() -> str:
    """A random id that every known template accepts."""
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(TOOL_CALL_ID_LENGTH))
