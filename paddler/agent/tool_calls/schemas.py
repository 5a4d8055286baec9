"""Whether the tools of a conversation have parameters that are JSON Schemas.

Holding one schema against its meta-schema takes milliseconds, and a
conversation brings the same tools with every turn. So verdicts are kept, for
the last `capacity` schemas, and new schemas are judged in a worker thread.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Sequence

import jsonschema
import msgspec
import trio
from jsonschema.validators import Draft202012Validator

from paddler.messages.conversation import ToolDefinition

__all__ = ["ToolSchemas"]

_MAX_MESSAGE_CHARS = 500


class ToolSchemas:
    """Judges schemas, and remembers.

    Args:
        capacity: Verdicts kept; the one that was not asked for longest goes first.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = capacity
        self._verdicts: collections.OrderedDict[bytes, str | None] = collections.OrderedDict()

    async def problem(self, tools: Sequence[ToolDefinition]) -> str | None:
        """What is wrong with the first tool whose parameters are no JSON Schema."""
        schemas = {
            tool.name: msgspec.json.encode(tool.parameters)
            for tool in tools
            if tool.parameters is not None
        }
        unknown = {
            digest: schema
            for schema in schemas.values()
            if (digest := _digest(schema)) not in self._verdicts
        }
        fresh: dict[bytes, str | None] = {}
        if unknown:
            fresh = await trio.to_thread.run_sync(_judge_all, unknown)
        for name, schema in schemas.items():
            digest = _digest(schema)
            verdict = fresh[digest] if digest in fresh else self._verdicts.get(digest)
            self._remember(digest, verdict)
            if verdict is not None:
                return f"the parameters of tool `{name}` are no JSON Schema: {verdict}"
        return None

    def _remember(self, digest: bytes, verdict: str | None) -> None:
        self._verdicts[digest] = verdict
        self._verdicts.move_to_end(digest)
        while len(self._verdicts) > self._capacity:
            self._verdicts.popitem(last=False)


def _digest(schema: bytes) -> bytes:
    return hashlib.blake2b(schema, digest_size=16).digest()


def _judge_all(schemas: dict[bytes, bytes]) -> dict[bytes, str | None]:
    return {digest: _judge(schema) for digest, schema in schemas.items()}


def _judge(schema: bytes) -> str | None:
    try:
        Draft202012Validator.check_schema(msgspec.json.decode(schema))
    except jsonschema.SchemaError as error:
        return f"{error.json_path}: {error.message}"[:_MAX_MESSAGE_CHARS]
    except (RecursionError, msgspec.DecodeError):
        return "it is nested too deeply"
    return None
