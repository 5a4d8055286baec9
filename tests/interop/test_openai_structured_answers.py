"""A hundred generated schemas: every answer of the real model validates.

The schemas are bounded (every text, array and number has an end), so that the
small model's answers end as well. They are generated from a seed, so that a
failure can be repeated.
"""

from __future__ import annotations

import concurrent.futures
import json
import random

import openai
import pytest
from jsonschema.validators import Draft202012Validator

from tests.support.openai_clients import MODEL, client_of
from tests.support.real_programs import RealBalancer

pytestmark = pytest.mark.model

N_SCHEMAS = 100
MAX_TOKENS = 1200
MAX_DEPTH = 2
FORMATS = ("date", "time", "date-time", "uuid", "email", "ipv4", "hostname", "duration")
NAMES = ("id", "name", "kind", "items", "näme", "a b")
WORDS = ("alpha", "beta", "gamma", "delta", "with space", 'quo"te', "ünï", "")

Schema = dict[str, object]


class SchemaGenerator:
    """Makes one schema from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._definitions: Schema = {}

    def schema(self) -> Schema:
        """An object at the top, as strict structured answers demand."""
        schema = self._object(depth=0)
        if self._definitions:
            schema["$defs"] = self._definitions
        return schema

    def _any(self, depth: int) -> Schema:
        leaves = [self._string, self._format, self._pattern, self._integer, self._enum]
        leaves += [self._const, self._boolean, self._null]
        if depth >= MAX_DEPTH:
            return self._random.choice(leaves)()
        branches = [self._object, self._array, self._union, self._reference, self._nullable]
        made = self._random.choice([*leaves, *branches, *branches])
        return made(depth + 1) if made in branches else made()  # type: ignore[operator]  # told apart by the list

    def _object(self, depth: int) -> Schema:
        names = self._random.sample(NAMES, k=self._random.randint(1, 3))
        required = names if self._random.random() < 0.7 else names[:1]
        return {
            "type": "object",
            "properties": {name: self._any(depth) for name in names},
            "required": required,
            "additionalProperties": False,
        }

    def _array(self, depth: int) -> Schema:
        smallest = self._random.randint(0, 2)
        return {
            "type": "array",
            "items": self._any(depth),
            "minItems": smallest,
            "maxItems": smallest + self._random.randint(0, 1),
        }

    def _union(self, depth: int) -> Schema:
        keyword = self._random.choice(["anyOf", "anyOf", "oneOf"])
        if keyword == "anyOf":
            return {"anyOf": [self._any(depth) for _ in range(2)]}
        # Arms that no value fits both of, as `oneOf` asks for exactly one.
        return {"oneOf": [self._object(depth), self._integer(), self._boolean()]}

    def _nullable(self, depth: int) -> Schema:
        return {"anyOf": [self._any(depth), {"type": "null"}]}

    def _reference(self, depth: int) -> Schema:
        name = f"def{len(self._definitions)}"
        self._definitions[name] = {}
        self._definitions[name] = self._any(max(depth, 1))
        return {"$ref": f"#/$defs/{name}"}

    def _string(self) -> Schema:
        shortest = self._random.randint(0, 3)
        return {
            "type": "string",
            "minLength": shortest,
            "maxLength": shortest + self._random.randint(0, 8),
        }

    def _format(self) -> Schema:
        return {"type": "string", "format": self._random.choice(FORMATS)}

    def _pattern(self) -> Schema:
        patterns = ["^[A-Z]{2}-[0-9]{3}$", "^(yes|no|maybe)$", "^[a-f]{1,4}(\\.[0-9]{2})?$"]
        return {"type": "string", "pattern": self._random.choice(patterns)}

    def _integer(self) -> Schema:
        smallest = self._random.randint(-50, 50)
        return {
            "type": "integer",
            "minimum": smallest,
            "maximum": smallest + self._random.randint(0, 2000),
        }

    def _enum(self) -> Schema:
        values: list[object] = [*self._random.sample(WORDS, k=3), 7, None]
        return {"enum": self._random.sample(values, k=3)}

    def _const(self) -> Schema:
        return {"const": self._random.choice([*WORDS, 3, False])}

    def _boolean(self) -> Schema:
        return {"type": "boolean"}

    def _null(self) -> Schema:
        return {"type": "null"}


def ask(client: openai.OpenAI, seed: int) -> str | None:
    """What is wrong with the answer to the schema of this seed, if anything is."""
    schema = SchemaGenerator(seed).schema()
    Draft202012Validator.check_schema(schema)
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Give me an example as JSON."}],
        max_tokens=MAX_TOKENS,
        seed=seed,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "example", "schema": schema, "strict": True},
        },
    )
    choice = answer.choices[0]
    if choice.finish_reason != "stop":
        return f"seed {seed}: ended with {choice.finish_reason}: {choice.message.content}"
    try:
        value = json.loads(choice.message.content or "")
    except json.JSONDecodeError as error:
        return f"seed {seed}: {error}: {choice.message.content}"
    checker = Draft202012Validator.FORMAT_CHECKER
    errors = list(Draft202012Validator(schema, format_checker=checker).iter_errors(value))
    return f"seed {seed}: {errors[0].message} in {value} of {schema}" if errors else None


def test_every_answer_fits_its_schema(openai_fleet: RealBalancer) -> None:
    with (
        client_of(openai_fleet.url("openai"), timeout=300) as client,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
    ):
        outcomes = list(pool.map(lambda seed: ask(client, seed), range(N_SCHEMAS)))
    problems = [outcome for outcome in outcomes if outcome is not None]
    assert not problems, "\n".join(problems)


def test_a_schema_that_cannot_be_kept_is_refused(openai_fleet: RealBalancer) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    with (
        client_of(openai_fleet.url("openai")) as client,
        pytest.raises(openai.BadRequestError, match="uniqueItems"),
    ):
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Numbers?"}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "numbers", "schema": schema, "strict": True},
            },
        )
