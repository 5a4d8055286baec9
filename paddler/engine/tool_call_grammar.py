"""Grammars of tool calls, made to mean what the request says.

llama.cpp lets prose precede a required call, which a model may go on with until
its tokens are used up, and in some formats repeats calls that were not to be
parallel. Both are cut out of the grammar's text here. What is left accepts a
subset of what the template's parser reads.
"""

from __future__ import annotations

import re

_PROSE_BEFORE_CALLS = re.compile(
    r"^(?P<before>root ::= .*?) ?until-\d+\??(?P<space> space)?(?= tool-call(s|-root)?\b)",
    re.MULTILINE,
)
_REPEATED_CALL = re.compile(
    r"^(?P<rule>tool-calls ::= )\((?P<call>tool-call\??) space\)\+$", re.MULTILINE
)


def tool_call_grammar(text: str, *, is_required: bool, is_parallel: bool) -> str:
    """GBNF like `text`, without prose before required calls or repeated single calls.

    Thoughts stay allowed where the template has them.
    """
    if is_required:
        text = _PROSE_BEFORE_CALLS.sub(r"\g<before>\g<space>", text)
    if not is_parallel:
        text = _REPEATED_CALL.sub(r"\g<rule>\g<call> space", text)
    return text
