"""Grammars that constrain what a model may generate."""

from __future__ import annotations

import msgspec


class GbnfGrammar(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="gbnf"
):
    """A grammar in llama.cpp's GBNF notation, starting at the rule `root`."""

    grammar: str
    root: str


class JsonSchemaGrammar(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_schema"
):
    """A JSON Schema, itself given as a string of JSON."""

    schema: str


Grammar = GbnfGrammar | JsonSchemaGrammar
