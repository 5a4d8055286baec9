"""Writes the admin panel's `api/messages.ts` from the structs of what it reads and sends.

`make frontend-types` writes it; a test fails where it is no longer what this
would write. JSON Schema is not between the two, as it describes what may be
sent: of answers it cannot tell that a field with a default is always there.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec.inspect import (
    AnyType,
    BoolType,
    CustomType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    NoneType,
    RawType,
    StrType,
    StructType,
    Type,
    UnionType,
    type_info,
)

from paddler.messages.agents import IssueKind
from paddler.messages.answers import InferenceAnswer
from paddler.messages.conversation import ContentPart
from paddler.messages.dashboard import (
    AgentModelDetails,
    DashboardSnapshot,
    HistorySnapshot,
    RolloutStage,
    SlotState,
)
from paddler.messages.embeddings import GenerateEmbeddingBatch, Normalization
from paddler.messages.grammar import Grammar
from paddler.messages.inference import ContinueFromConversationHistory, ContinueFromRawPrompt
from paddler.messages.one_of import OneOf
from paddler.messages.panel import PanelConfig
from paddler.messages.state import (
    DesiredState,
    InferenceParameters,
    KvCacheDtype,
    Model,
    PoolingType,
)
from paddler.messages.templates import TemplateCheck, TemplateSource

FRONTEND = Path("paddler") / "balancer" / "admin_panel" / "frontend"
TARGET = Path(__file__).resolve().parents[2] / FRONTEND / "src" / "api" / "messages.ts"
WIDTH = 100

ANSWERS: Sequence[type] = (
    PanelConfig,
    DashboardSnapshot,
    HistorySnapshot,
    AgentModelDetails,
    TemplateCheck,
    DesiredState,
    InferenceAnswer,
)
"""What the services answer; the desired state is also put, and then as whole."""

REQUESTS: Sequence[type] = (
    TemplateSource,
    ContinueFromRawPrompt,
    ContinueFromConversationHistory,
    GenerateEmbeddingBatch,
)

UNIONS: typing.Mapping[str, object] = {
    "ContentPart": ContentPart,
    "Grammar": Grammar,
    "IssueKind": IssueKind,
    "KvCacheDtype": KvCacheDtype,
    "Model": Model,
    "Normalization": Normalization,
    "PoolingType": PoolingType,
    "RolloutStage": RolloutStage,
    "SlotState": SlotState,
}
"""Unions by the names they have in `paddler.messages`: as types they carry none."""

HEADER = """\
/**
 * Made from the structs in paddler/messages by `make frontend-types`: change those.
 *
 * @module
 */
"""


class Unwritable(TypeError):
    """A struct holds something that no message of the panel had before."""


class Declarations:
    """TypeScript declarations by name, each made when it is first needed."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._unions = [(type_info(union), name) for name, union in UNIONS.items()]
        self._structs: dict[str, type] = {}
        self._is_answer = False

    def add(self, messages: Sequence[type], *, is_answer: bool) -> None:
        """Declare `messages` and all they hold.

        Args:
            messages: Structs.
            is_answer: They come from us, and a field with a default is there
                all the same; else it may be left out.

        Raises:
            Unwritable: A field's type is none of those known here, or two
                structs have one name.
        """
        self._is_answer = is_answer
        for message in messages:
            self._text(type_info(message))

    def _text(self, found: Type) -> str:
        for union, name in self._unions:
            if union != found:
                continue
            if name not in self.texts:
                self.texts[name] = ""
                self.texts[name] = _union(name, self._arms_of_alias(found, UNIONS[name]))
            return name
        match found:
            case IntType() | FloatType():
                return "number"
            case StrType():
                return "string"
            case BoolType():
                return "boolean"
            case NoneType():
                return "null"
            case AnyType() | RawType():
                return "unknown"
            case LiteralType():
                return " | ".join(map(json.dumps, found.values))
            case ListType():
                item = self._text(found.item_type)
                return f"({item})[]" if "|" in item else f"{item}[]"
            case DictType():
                return f"Record<string, {self._text(found.value_type)}>"
            case UnionType():
                # As people say it: something, or null.
                arms = sorted(found.types, key=lambda arm: isinstance(arm, NoneType))
                texts = [self._text(arm) for arm in self._named(arms)]
                return "unknown" if "unknown" in texts else " | ".join(texts)
            case EnumType():
                arms_of_enum = [json.dumps(member.value) for member in found.cls]
                self.texts[found.cls.__name__] = _doc(found.cls) + _union(
                    found.cls.__name__, arms_of_enum
                )
                return found.cls.__name__
            case StructType():
                return self._struct(found)
            case CustomType() if found.cls is object:
                return "unknown"
            case _:
                raise Unwritable(f"nothing is known of {found!r}: teach `Declarations` to write it")

    def _named(self, arms: Sequence[Type]) -> Iterator[Type]:
        """The arms of a union; those that are a named union themselves as that one."""
        rest = list(arms)
        for union, _name in self._unions:
            parts = union.types if isinstance(union, UnionType) else ()
            if parts and all(part in rest for part in parts):
                yield union
                rest = [arm for arm in rest if arm not in parts]
        yield from rest

    def _arms_of_alias(self, found: Type, alias: object) -> list[str]:
        # type_info sorts literals; their author's order is what people are shown.
        if typing.get_origin(alias) is typing.Literal:
            return [json.dumps(value) for value in typing.get_args(alias)]
        assert isinstance(found, UnionType)
        return [self._text(arm) for arm in found.types]

    def _struct(self, found: StructType) -> str:
        name = found.cls.__name__
        if self._structs.setdefault(name, found.cls) is not found.cls:
            raise Unwritable(f"two structs are called {name}")
        if name in self.texts:
            return name
        self.texts[name] = ""
        if issubclass(found.cls, OneOf):
            fields = [(field.encode_name, self._text(field.type)) for field in found.fields]
            arms = [f"{{ {only}: {text} }}" for only, text in fields]
            self.texts[name] = _doc(found.cls) + _union(name, arms)
            return name
        lines = [f"  {self._field(field, found.cls)}" for field in found.fields]
        if found.tag_field is not None:
            lines.insert(0, f"  {found.tag_field}: {json.dumps(found.tag)};")
        too_long = [line for line in lines if len(line) > WIDTH]
        if too_long:
            raise Unwritable(f"give its union a name in UNIONS: {too_long[0]}")
        body = "\n".join(lines)
        self.texts[name] = f"{_doc(found.cls)}export interface {name} {{\n{body}\n}}\n"
        return name

    def _field(self, field: Field, struct: type[msgspec.Struct]) -> str:
        # A field whose default is UNSET has none that could be shown.
        has_default = (
            field.default is not msgspec.NODEFAULT or field.default_factory is not msgspec.NODEFAULT
        )
        is_always_there = (
            self._is_answer and has_default and not struct.__struct_config__.omit_defaults
        )
        mark = "" if field.required or is_always_there else "?"
        return f"{field.encode_name}{mark}: {self._text(field.type)};"


def _doc(owner: type) -> str:
    text = inspect.getdoc(owner)
    assert text, f"{owner.__name__} has no docstring"
    if "\n" not in text:
        return f"/** {text} */\n"
    lines = "\n".join(f" * {line}".rstrip() for line in text.splitlines())
    return f"/**\n{lines}\n */\n"


def _union(name: str, arms: Sequence[str]) -> str:
    line = f"export type {name} = {' | '.join(arms)};\n"
    if len(line) <= WIDTH:
        return line
    return f"export type {name} =\n" + "\n".join(f"  | {arm}" for arm in arms) + ";\n"


def _limits_constant(name: str, struct: type[msgspec.Struct]) -> str:
    lines = [f"/** Limits and defaults of {struct.__name__}. */", f"export const {name} = {{"]
    for field in msgspec.structs.fields(struct):
        limits = {**_limits(field.type), "fallback": field.default}
        facts = [f"{fact}: {_value(value)}" for fact, value in limits.items()]
        line = f"  {field.encode_name}: {{ {', '.join(facts)} }},"
        if len(line) > WIDTH:
            line = "\n".join(
                [f"  {field.encode_name}: {{", *(f"    {fact}," for fact in facts), "  },"]
            )
        lines.append(line)
    lines.append("} as const;")
    return "\n".join(lines) + "\n"


def _limits(annotation: object) -> dict[str, object]:
    found = type_info(annotation)
    match found:
        case BoolType():
            return {"kind": "switch"}
        case LiteralType():
            return {"kind": "choice", "choices": list(typing.get_args(annotation))}
        case IntType() | FloatType() if found.lt is None and found.multiple_of is None:
            kind = "integer" if isinstance(found, IntType) else "number"
            limits = {"min": found.ge, "above": found.gt, "max": found.le}
            known = {limit: value for limit, value in limits.items() if value is not None}
            return {"kind": kind, **known}
        case _:
            raise Unwritable(f"no form has a field for {found!r}")


def _value(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


def message_types() -> str:
    """The whole module."""
    declarations = Declarations()
    declarations.add(ANSWERS, is_answer=True)
    declarations.add(REQUESTS, is_answer=False)
    texts = [text for _name, text in sorted(declarations.texts.items())]
    limits = _limits_constant("INFERENCE_PARAMETERS", InferenceParameters)
    return "\n".join([HEADER, *texts, limits])


if __name__ == "__main__":
    TARGET.write_text(message_types(), encoding="utf-8")
