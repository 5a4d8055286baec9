"""Grammars of tool calls, made to mean what the request says.

llama.cpp lets prose precede a required call, which a model may go on with until
its tokens are used up, and in some formats repeats calls that were not to be
parallel. Both are cut out of the grammar's text here. What is left accepts a
subset of what the template's parser reads. Where an answer has to fit a schema
and tools may be called as well, the model chooses between the two.
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
# After the calls' preamble an answer may stand only where the format has no wrapping of its own
# for it: at most what the prompt ends with, whitespace and thoughts.
_CALLS_OF_ROOT = re.compile(
    r'^(?P<before>root ::= ("(\\.|[^"\\])*" )?(space )*'
    r"((?i:\((?=[^)]*think)([^()]|\([^()]*\))*\)\? ))?(space )*)"
    r"(?P<calls>tool-call(s|-root)?)$",
    re.MULTILINE,
)
_GBNF_TOKEN = re.compile(
    r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|(?P<rule>[A-Za-z][A-Za-z0-9-]*)', re.DOTALL
)
_ANSWER = "answer-"


def tool_call_grammar(text: str, *, is_required: bool, is_parallel: bool) -> str:
    """GBNF like `text`, without prose before required calls or repeated single calls.

    Thoughts stay allowed where the template has them.
    """
    if is_required:
        text = _PROSE_BEFORE_CALLS.sub(r"\g<before>\g<space>", text)
    if not is_parallel:
        text = _REPEATED_CALL.sub(r"\g<rule>\g<call> space", text)
    return text


def call_or_answer_grammar(calls: str, answer: str, *, is_parallel: bool) -> str | None:
    """GBNF that accepts what `calls` or, after the same preamble, what `answer` accepts.

    `calls` is a grammar of required calls; both start at `root`. None if the
    format has no place for a bare answer.
    """
    calls = tool_call_grammar(calls, is_required=True, is_parallel=is_parallel)
    chosen, n_found = _CALLS_OF_ROOT.subn(rf"\g<before>(\g<calls> | {_ANSWER}root)", calls)
    if not n_found:
        return None
    return f"{chosen.rstrip()}\n{_GBNF_TOKEN.sub(_renamed, answer)}"


def _renamed(token: re.Match[str]) -> str:
    rule = token["rule"]
    return token[0] if rule is None else _ANSWER + rule
