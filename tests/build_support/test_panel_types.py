"""What the panel takes its messages for is what the balancer means by them."""

from __future__ import annotations

import datetime

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from build_support.panel_types import (
    TARGET,
    Declarations,
    Unwritable,
    message_types,
)
from paddler.messages.one_of import OneOf


class Part(msgspec.Struct):
    """A part."""

    name: str
    note: str | None = None


class Sparse(msgspec.Struct, omit_defaults=True):
    """A message that leaves out what is as usual."""

    note: str | None = None


class Kind(OneOf, frozen=True):
    """One of two."""

    Number: int | UnsetType = UNSET
    Parts: list[Part | None] | UnsetType = UNSET


class Dated(msgspec.Struct):
    """A message with something new in it."""

    at: datetime.datetime


def declared(message: type, *, is_answer: bool) -> dict[str, str]:
    declarations = Declarations()
    declarations.add([message], is_answer=is_answer)
    return declarations.texts


def test_the_panels_types_are_those_of_the_structs() -> None:
    found = TARGET.read_text(encoding="utf-8")
    assert found == message_types(), "the structs changed: run `make frontend-types`"


def test_a_default_may_be_left_out_of_a_request_and_is_there_in_an_answer() -> None:
    assert "  note: string | null;" in declared(Part, is_answer=True)["Part"]
    assert "  note?: string | null;" in declared(Part, is_answer=False)["Part"]
    assert "  note?: string | null;" in declared(Sparse, is_answer=True)["Sparse"]


def test_one_of_several_fields_is_a_union() -> None:
    texts = declared(Kind, is_answer=True)
    union = "export type Kind = { Number: number } | { Parts: (Part | null)[] };\n"
    assert texts["Kind"] == "/** One of two. */\n" + union
    assert texts["Part"].startswith("/** A part. */\nexport interface Part {\n  name: string;\n")


def test_what_nobody_taught_it_is_refused_rather_than_guessed() -> None:
    with pytest.raises(Unwritable, match="DateTimeType"):
        declared(Dated, is_answer=True)


def test_two_structs_of_one_name_are_not_taken_for_one_another() -> None:
    other = msgspec.defstruct("Part", [("size", int)], namespace={"__doc__": "Another part."})
    declarations = Declarations()
    declarations.add([Part], is_answer=True)
    with pytest.raises(Unwritable, match="two structs are called Part"):
        declarations.add([other], is_answer=True)
