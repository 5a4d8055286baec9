"""JSON Schemas of structured answers: which of them a grammar can guarantee.

The engine turns a schema into a grammar. A grammar cannot count or compare, so
some keywords would be ignored silently; where the request says `strict`, such a
schema is refused instead, as OpenAI's API does. Formats become patterns here,
so that an answer with the format `date` is a day that exists.
"""

from __future__ import annotations

import msgspec

from paddler.balancer.services.openai.errors import BadRequest

MAX_DEPTH = 64
MAX_PROBLEMS_TOLD = 10

ANY_OBJECT = '{"type":"object"}'
"""The schema of `json_object`."""

_UNENFORCED = frozenset(
    {
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxContains",
        "maxProperties",
        "minContains",
        "minProperties",
        "multipleOf",
        "not",
        "patternProperties",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LENGTHS = ("minLength", "maxLength")

_SCHEMAS = ("items", "additionalProperties")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_SCHEMA_MAPS = ("properties", "$defs", "definitions")

_DATE = (
    "[12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    "|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_HOUR_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR_MINUTE}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_HOUR_MINUTE})"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])"
_LABEL = "[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?"
_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": "P([0-9]{1,3}D(T[0-9]{1,2}H)?|T[0-9]{1,4}[HMS]|[0-9]{1,3}[YMW])",
    "email": rf"[a-z0-9]{{1,16}}([._-][a-z0-9]{{1,12}}){{0,2}}@({_LABEL}\.){{1,2}}[a-z]{{2,8}}",
    "hostname": rf"({_LABEL}\.){{0,3}}[a-z]{{2,12}}",
    "ipv4": rf"({_OCTET}\.){{3}}{_OCTET}",
    "ipv6": "([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}",
    "uri": rf"https?://({_LABEL}\.){{0,3}}[a-z]{{2,12}}(/[a-zA-Z0-9_-]{{1,40}}){{0,6}}",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
"""Texts that have the format; a subset of all that do, where those have no bound."""


def schema_text(schema: object, *, strict: bool, param: str) -> str:
    """`schema` as the JSON text that goes to the agent.

    Raises:
        BadRequest: It is no schema, or `strict` and more than a grammar can keep.
    """
    if not isinstance(schema, dict):
        message = "the JSON Schema has to be an object"
        raise BadRequest(message, param=param, code="invalid_json_schema")
    reading = _Reading()
    enforceable = reading.read(schema, "#", 0)
    if strict and reading.problems:
        message = (
            "with `strict` an answer always fits the schema, which cannot be promised for: "
            + ", ".join(reading.problems[:MAX_PROBLEMS_TOLD])
        )
        raise BadRequest(message, param=param, code="unsupported_json_schema")
    return msgspec.json.encode(enforceable).decode()


class _Reading:
    """One pass over a schema; `problems` are keywords that a grammar does not enforce."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, schema: object, path: str, depth: int) -> object:
        """The schema with formats as patterns."""
        if not isinstance(schema, dict):
            return schema
        if depth > MAX_DEPTH:
            self.problems.append(f"{path} (nested too deeply)")
            return schema
        self._note_unenforced(schema, path)
        read = self._with_pattern(schema, path)
        for keyword in _SCHEMAS:
            if isinstance(schema.get(keyword), dict):
                read[keyword] = self.read(schema[keyword], f"{path}/{keyword}", depth + 1)
        for keyword in _SCHEMA_LISTS:
            arms = schema.get(keyword)
            if isinstance(arms, list):
                read[keyword] = [
                    self.read(arm, f"{path}/{keyword}/{position}", depth + 1)
                    for position, arm in enumerate(arms)
                ]
        for keyword in _SCHEMA_MAPS:
            named = schema.get(keyword)
            if isinstance(named, dict):
                read[keyword] = {
                    name: self.read(inner, f"{path}/{keyword}/{name}", depth + 1)
                    for name, inner in named.items()
                }
        return read

    def _note_unenforced(self, schema: dict[str, object], path: str) -> None:
        for keyword in sorted(_UNENFORCED & schema.keys()):
            # `uniqueItems: false` and the like ask for nothing.
            if schema[keyword] not in (False, None):
                self.problems.append(f"`{keyword}` at {path}")
        if schema.get("type") != "integer":
            self.problems.extend(
                f"`{keyword}` of numbers that are no integers at {path}"
                for keyword in _BOUNDS
                if keyword in schema
            )
        if "pattern" in schema:
            pattern = str(schema["pattern"])
            if not (pattern.startswith("^") and pattern.endswith("$")):
                self.problems.append(f"a `pattern` without ^ and $ at {path}")
            self.problems.extend(
                f"`{keyword}` beside `pattern` at {path}"
                for keyword in (*_LENGTHS, "format")
                if keyword in schema
            )

    def _with_pattern(self, schema: dict[str, object], path: str) -> dict[str, object]:
        text_format = schema.get("format")
        if schema.get("type") != "string" or text_format is None or "pattern" in schema:
            return dict(schema)
        pattern = _PATTERNS.get(str(text_format))
        if pattern is None:
            self.problems.append(f"format `{text_format}` at {path}")
            return dict(schema)
        self.problems.extend(
            f"`{keyword}` beside `format` at {path}" for keyword in _LENGTHS if keyword in schema
        )
        without = {
            keyword: value
            for keyword, value in schema.items()
            if keyword not in ("format", *_LENGTHS)
        }
        return {**without, "pattern": f"^({pattern})$"}
