"""Functions inside llama.cpp that native code follows without calling them.

Each is as it was when our side was last compared with it. After a change of
the pin in native/llama_cpp.lock a failure here names what to compare again;
then the digest is brought up to date.
"""

from __future__ import annotations

import hashlib
import os
import re

import pytest

from tests.support.llama_cpp import llama_cpp_source

pytestmark = pytest.mark.skipif(
    "PADDLER_LLAMA_CPP_DIR" in os.environ, reason="another llama.cpp than the pinned one is built"
)

# File and function, who follows it, and its digest.
FOLLOWED = [
    (
        "common/chat.cpp",
        "common_chat_templates_apply_jinja",
        "chat/chat_request",
        "cf6650bd5eebf188392c",
    ),
    ("common/chat.cpp", "render_message_to_json", "chat/chat_request", "a47fb2b46d4bb4b3f5a9"),
    (
        "common/chat.cpp",
        "map_developer_role_to_system",
        "chat/chat_request",
        "ba78d78b7077d46e3b3c",
    ),
    (
        "common/chat.cpp",
        "system_message_not_supported",
        "chat/chat_request",
        "2d48139ee1833a7c30ed",
    ),
    ("common/chat.cpp", "requires_non_null_content", "chat/chat_request", "e3df4447b16c1375790b"),
    ("common/chat.cpp", "func_args_not_string", "chat/chat_request", "0f28ac945a7d913b8e72"),
    ("common/chat.cpp", "trim_all_content", "chat/chat_request", "50624acd73abd3dc7a54"),
    ("common/chat.cpp", "common_chat_extra_context", "chat/chat_request", "c26c1e328bec8b3611b0"),
    (
        "common/chat.cpp",
        "common_chat_try_specialized_template",
        "chat/chat_markers",
        "aad0aaa8d5a2f649d24f",
    ),
    ("common/sampling.cpp", "common_sampler_init", "chat/chat", "971bc9a31e54ebc2156a"),
    (
        "common/json-schema-to-grammar.cpp",
        "_not_strings",
        "sampling/schema_grammar",
        "7b45336a2cc2c2dd4328",
    ),
    ("src/llama-batch.cpp", "split_equal", "engine/decode_batch", "658565740c1c1412a233"),
    (
        "src/llama-grammar.cpp",
        "llama_grammar_detect_left_recursion",
        "sampling/gbnf_check",
        "66ad0c7b20d355851834",
    ),
]


def definition(text: str, function: str) -> str:
    """From the line of the function's name to the brace that closes it."""
    found = re.search(
        rf"^( *)[\w:<>*&~ ]*\b{function}\([^;{{}}]*\{{\n.*?^\1\}}", text, re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"llama.cpp has no {function} any more"
    return found[0]


@pytest.mark.parametrize(
    ("file", "function", "follower", "digest"), FOLLOWED, ids=[entry[1] for entry in FOLLOWED]
)
def test_what_is_followed_is_as_it_was_when_it_was_compared(
    file: str, function: str, follower: str, digest: str
) -> None:
    text = definition((llama_cpp_source() / file).read_text(encoding="utf-8"), function)
    found = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:20]
    assert found == digest, f"compare native/src/{follower}.cpp with {function} in {file} again"
