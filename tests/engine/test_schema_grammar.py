"""JSON Schemas to grammars that llama.cpp accepts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddler.engine.chat import json_schema_to_grammar
from paddler.engine.errors import BadSchema
from paddler.engine.model import Model, open_model
from paddler.engine.requests import (
    Ended,
    EngineRequest,
    EngineSampling,
    FinishReason,
    GrammarConstraint,
    Tokens,
)
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import open_slots
from tests.support.tiny_models import BYTE_TOKENS, SPECIAL_TOKENS, tiny_llama

TIMEOUT_S = 120.0
SETTINGS = EngineSettings(
    n_slots=1, context_tokens=1024, n_threads=1, k_cache_dtype="F32", v_cache_dtype="F32"
)

names = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=8,
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), names)

leaves = st.one_of(
    st.sampled_from(
        [{"type": kind} for kind in ("string", "boolean", "null", "integer", "number")]
    ),
    st.builds(lambda values: {"enum": values}, st.lists(scalars, min_size=1, max_size=4)),
    st.builds(lambda value: {"const": value}, scalars),
    st.builds(
        lambda low, extra: {"type": "integer", "minimum": low, "maximum": low + extra},
        st.integers(-1000, 1000),
        st.integers(0, 1000),
    ),
    st.builds(
        lambda low, extra: {"type": "string", "minLength": low, "maxLength": low + extra},
        st.integers(0, 5),
        st.integers(0, 20),
    ),
    st.sampled_from(
        [
            {"type": "string", "format": kind}
            for kind in ("date", "time", "date-time", "uuid", "nonsense")
        ]
    ),
    st.just({"type": "string", "pattern": "^[a-z]{1,3}(-[0-9]+)?$"}),
)


def composed(inner: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    def as_object(
        properties: dict[str, dict[str, object]], extra: bool, all_required: bool
    ) -> dict[str, object]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties) if all_required else [],
            "additionalProperties": extra,
        }

    return st.one_of(
        st.builds(
            as_object, st.dictionaries(names, inner, max_size=4), st.booleans(), st.booleans()
        ),
        st.builds(
            lambda items, n: {"type": "array", "items": items, "minItems": n, "maxItems": n + 2},
            inner,
            st.integers(0, 3),
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda options: {"oneOf": options}, st.lists(inner, min_size=1, max_size=3)),
    )


schemas = st.recursive(leaves, composed, max_leaves=8)


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("schema_grammar") / "model.gguf")


@pytest.fixture
async def model(tiny_model_path: Path) -> AsyncIterator[Model]:
    async with open_model(tiny_model_path) as opened:
        yield opened


async def test_every_generated_schema_has_a_grammar_that_parses(tiny_model_path: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with open_model(tiny_model_path) as model:

            @settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
            @given(schemas)
            def check(schema: dict[str, object]) -> None:
                model.check_grammar(json_schema_to_grammar(json.dumps(schema)), "root")

            check()


def with_any_of(schema: Any) -> Any:
    """The schema as the grammar means it: oneOf lets more than one fit."""
    if isinstance(schema, dict):
        return {
            "anyOf" if key == "oneOf" else key: value
            if key in ("enum", "const")
            else with_any_of(value)
            for key, value in schema.items()
        }
    return [with_any_of(item) for item in schema] if isinstance(schema, list) else schema


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(schema=schemas, seed=st.integers(0, 2**31))
async def test_what_a_model_writes_under_a_schema_fits_it(
    tiny_model_path: Path, schema: dict[str, object], seed: int
) -> None:
    text = ""
    reason = None
    with trio.fail_after(TIMEOUT_S):
        async with (
            open_model(tiny_model_path) as model,
            open_slots(model, SETTINGS) as slots,
            slots.start(
                EngineRequest(
                    prompt_tokens=await model.tokenize("Write JSON."),
                    max_tokens=900,
                    sampling=EngineSampling(
                        temperature=2.0,
                        top_k=0,
                        top_p=1.0,
                        min_p=0.0,
                        seed=seed,
                        # Lone bytes make no UTF-8 and special tokens no text; a model
                        # that learned something knows that.
                        logit_bias=[
                            (token, -1000.0) for token in (0, 1, *SPECIAL_TOKENS, *BYTE_TOKENS)
                        ],
                    ),
                    grammar=GrammarConstraint(text=json_schema_to_grammar(json.dumps(schema))),
                )
            ) as generation,
        ):
            async for batch in generation.batches():
                for event in batch:
                    if isinstance(event, Tokens):
                        text += event.text
                    elif isinstance(event, Ended):
                        reason = event.reason
    if reason is FinishReason.END_OF_GENERATION:
        jsonschema.validate(json.loads(text), with_any_of(schema))


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {
            "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
            "$ref": "#/$defs/n",
        },
        {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}]},
        {"type": ["string", "null"]},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"prefixItems": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "properties": {'quo"te\\ and \n line': {"type": "null"}}},
    ],
    ids=str,
)
async def test_less_common_schemas_have_grammars_too(model: Model, schema: object) -> None:
    model.check_grammar(json_schema_to_grammar(json.dumps(schema)), "root")


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "{",
        "null",
        "[]",
        '"string"',
        "{}\0",
        '{"type": "nonsense"}',
        '{"$ref": "https://example.com/schema.json"}',
        '{"$ref": "#/nowhere"}',
        '{"type": "string", "pattern": "^(a$"}',
        '{"type": "string", "pattern": 5}',
        '{"properties": []}',
        '{"enum": 5}',
        '{"anyOf": {}}',
        '{"type": "integer", "minimum": "low"}',
        '{"items": ' * 5000 + "{}" + "}" * 5000,
    ],
    ids=lambda schema: schema[:40],
)
def test_what_is_no_usable_schema_is_refused(schema: str) -> None:
    with pytest.raises(BadSchema):
        json_schema_to_grammar(schema)


def test_a_pattern_nested_beyond_reason_allows_any_string() -> None:
    schema = {"type": "string", "pattern": "^" + "(" * 50_000 + ")" * 50_000 + "$"}
    assert "root ::= string" in json_schema_to_grammar(json.dumps(schema))
