"""Where a chat template's blocks do not match.

llama.cpp's compiler says that something is wrong, but for most mistakes not
where. This looks at a template that does not compile, and only at what mistakes
are usually made of: blocks and braces that are not closed, or closed twice. It
is no parser, and what it says is a hint.
"""

from __future__ import annotations

import re

_CLOSED = {"for", "if", "macro", "call", "filter", "generation"}
_TAG = re.compile(r"\{#.*?#\}|\{%-?\s*raw\b.*?\bendraw\s*-?%\}|\{%|\{\{", re.DOTALL)
_ENDS = {"{%": "%}", "{{": "}}"}
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
_INSIDE = re.compile(rf"(?:{_QUOTED}|(?!%\}}|\}}\}}|\{{%|\{{\{{).)*", re.DOTALL)
_STATEMENT = re.compile(r"[-+]?\s*(\w+)(.*)", re.DOTALL)


def unmatched_block(source: str) -> str | None:
    """The first block or brace of `source` without its counterpart, with its line."""
    open_blocks: list[tuple[str, int]] = []
    position = 0
    while (tag := _TAG.search(source, position)) is not None:
        line = source.count("\n", 0, tag.start()) + 1
        position = tag.end()
        if tag[0] not in _ENDS:
            continue
        inside = _INSIDE.match(source, position)
        assert inside is not None, "it matches the empty text"
        position = inside.end()
        if not source.startswith(_ENDS[tag[0]], position):
            return f"line {line}: {tag[0]} has no {_ENDS[tag[0]]}"
        statement = _STATEMENT.match(inside[0]) if tag[0] == "{%" else None
        if statement is None:
            continue
        name, rest = statement[1], statement[2]
        if name in _CLOSED or (name == "set" and "=" not in rest):
            open_blocks.append((name, line))
        elif name.startswith("end") and (problem := _closing(name, line, open_blocks)):
            return problem
    if open_blocks:
        name, line = open_blocks[-1]
        return f"line {line}: {{% {name} %}} has no {{% end{name} %}}"
    return None


def _closing(name: str, line: int, open_blocks: list[tuple[str, int]]) -> str | None:
    if not open_blocks:
        return f"line {line}: {{% {name} %}} closes nothing"
    opened, opened_line = open_blocks.pop()
    if name == f"end{opened}":
        return None
    return f"line {line}: {{% {name} %}} where {{% {opened} %}} of line {opened_line} is open"
