"""From bytes to structs, with errors that say what was wrong and what is allowed."""

from __future__ import annotations

import re
import types
import typing

import msgspec

_UNKNOWN_FIELD = re.compile(
    r"Object contains unknown field `(?P<field>.*?)`(?: - at `(?P<path>.*)`)?", re.DOTALL
)


class MalformedMessage(ValueError):
    """A message outside the contract; the text is fit to be shown to its sender."""


T = typing.TypeVar("T")


def decode_json(body: bytes | str, message_type: type[T]) -> T:
    """Decode `body` as `message_type`.

    Raises:
        MalformedMessage: `body` is not JSON or not within the contract. The
            message carries the JSON path, and for an unknown field also the
            fields that are allowed there.
    """
    try:
        return msgspec.json.decode(body, type=message_type)
    except msgspec.ValidationError as error:
        raise MalformedMessage(_explain(str(error), message_type)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"the body is not valid JSON: {error}"
        raise MalformedMessage(message) from None


def _explain(error: str, message_type: object) -> str:
    unknown = _UNKNOWN_FIELD.fullmatch(error)
    if unknown is None:
        return error
    path = unknown["path"] or "$"
    allowed = _allowed_fields(message_type, path)
    described = f"unknown field `{unknown['field']}` at `{path}`"
    if not allowed:
        return described
    return f"{described}; allowed are: {', '.join(allowed)}"


def _allowed_fields(message_type: object, path: str) -> list[str]:
    candidates = [message_type]
    for step in re.findall(r"\.([A-Za-z_]\w*)|\[(?:\.\.\.|\d+)\]", path):
        candidates = [inner for candidate in candidates for inner in _descend(candidate, step)]
    fields: list[str] = []
    for struct in (s for candidate in candidates for s in _structs(candidate)):
        config = struct.__struct_config__
        if config.tag_field is not None:
            fields.append(config.tag_field)
        fields.extend(struct.__struct_encode_fields__)
    return sorted(set(fields))


def _descend(candidate: object, field: str) -> list[object]:
    found: list[object] = []
    for arm in _arms(candidate):
        origin = typing.get_origin(arm)
        if not field:
            if origin in (list, tuple):
                found.append(typing.get_args(arm)[0])
        elif isinstance(arm, type) and issubclass(arm, msgspec.Struct):
            found.extend(
                info.type for info in msgspec.structs.fields(arm) if info.encode_name == field
            )
        elif origin is dict:
            found.append(typing.get_args(arm)[1])
    return found


def _structs(candidate: object) -> list[type[msgspec.Struct]]:
    return [
        arm for arm in _arms(candidate) if isinstance(arm, type) and issubclass(arm, msgspec.Struct)
    ]


def _arms(candidate: object) -> list[object]:
    origin = typing.get_origin(candidate)
    if origin is typing.Annotated:
        return _arms(typing.get_args(candidate)[0])
    if origin in (typing.Union, types.UnionType):
        return [arm for inner in typing.get_args(candidate) for arm in _arms(inner)]
    return [candidate]
