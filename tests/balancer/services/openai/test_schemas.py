"""Schemas: what a grammar keeps, what it does not, and formats as patterns."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddler.balancer.services.openai.errors import BadRequest
from paddler.balancer.services.openai.schemas import schema_text


def strictly(schema: object) -> dict[str, object]:
    read = json.loads(schema_text(schema, strict=True, param="schema"))
    assert isinstance(read, dict)
    return read


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "number", "minimum": 0},
        {"minimum": 0},
        {"type": "integer", "multipleOf": 3},
        {"type": "string", "format": "idn-email"},
        {"type": "string", "pattern": "a+"},
        {"type": "string", "pattern": "^a$", "maxLength": 1},
        {"type": "object", "properties": {"a": {"not": {"type": "null"}}}},
        {"$defs": {"x": {"type": "object", "patternProperties": {}}}, "$ref": "#/$defs/x"},
        {"anyOf": [{"type": "null"}, {"if": {}}]},
    ],
)
def test_what_a_grammar_cannot_keep_is_refused_where_it_must_be_kept(schema: object) -> None:
    with pytest.raises(BadRequest) as refused:
        strictly(schema)
    assert refused.value.code == "unsupported_json_schema"
    schema_text(schema, strict=False, param="schema")


def test_the_error_says_where() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number", "maximum": 1}}}
    with pytest.raises(BadRequest, match=r"`maximum`.*at #/properties/a"):
        strictly(schema)


def test_what_asks_for_nothing_is_no_problem() -> None:
    schema = {"type": "array", "items": {"type": "null"}, "uniqueItems": False}
    assert strictly(schema) == schema


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"format": {"type": "string"}, "not": {}},
    }
    assert strictly(schema) == schema


def test_only_an_object_is_a_schema() -> None:
    schemas: list[object] = [None, "x", [], True]
    for schema in schemas:
        with pytest.raises(BadRequest):
            schema_text(schema, strict=False, param="schema")


def test_deep_schemas_are_refused_and_not_followed_for_ever() -> None:
    schema: dict[str, object] = {"type": "null"}
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    with pytest.raises(BadRequest, match="nested too deeply"):
        strictly(schema)


@given(st.dates(min_value=datetime.date(1000, 1, 1), max_value=datetime.date(2999, 12, 31)))
def test_every_day_but_the_leap_day_is_a_date(day: datetime.date) -> None:
    pattern = str(strictly({"type": "string", "format": "date"})["pattern"])
    is_leap_day = (day.month, day.day) == (2, 29)
    assert (re.fullmatch(pattern, day.isoformat()) is not None) is not is_leap_day


def test_days_that_do_not_exist_are_no_dates() -> None:
    pattern = str(strictly({"type": "string", "format": "date"})["pattern"])
    for day in ("2024-02-30", "2024-04-31", "2024-13-01", "0000-01-01", "2024-00-10"):
        assert re.fullmatch(pattern, day) is None, day


@pytest.mark.parametrize(
    ("text_format", "read"),
    [
        ("date", datetime.date.fromisoformat),
        ("time", datetime.time.fromisoformat),
        ("date-time", datetime.datetime.fromisoformat),
        ("uuid", uuid.UUID),
        ("ipv4", ipaddress.IPv4Address),
        ("ipv6", ipaddress.IPv6Address),
    ],
)
@given(data=st.data())
def test_whatever_fits_a_formats_pattern_has_the_format(
    text_format: str, read: Callable[[str], object], data: st.DataObject
) -> None:
    pattern = str(strictly({"type": "string", "format": text_format})["pattern"])
    read(data.draw(st.from_regex(pattern, fullmatch=True).map(str.strip)))
