"""An engine with chat templates of every kind."""

from __future__ import annotations

from pathlib import Path

import trio

from paddler.engine.engine import Engine
from paddler.engine.settings import EngineSettings
from paddler.messages.conversation import Message
from paddler.messages.generation import ConversationPrompt
from tests.support.tiny_models import tiny_llama

TIMEOUT_S = 120.0
SETTINGS = EngineSettings(
    n_slots=1, context_tokens=256, n_threads=1, k_cache_dtype="F32", v_cache_dtype="F32"
)


async def test_a_template_that_would_crash_leaves_an_engine_without_chat(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "model.gguf")
    endless = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"
    with trio.fail_after(TIMEOUT_S):
        async with Engine.open(path, SETTINGS, chat_template_override=endless) as engine:
            assert engine.chat is None
            assert "recurses" in str(engine.chat_error)
            assert engine.can_generate


async def test_a_good_template_in_the_file_is_used(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "model.gguf", chat_template="{{ messages[0].content }}")
    with trio.fail_after(TIMEOUT_S):
        async with Engine.open(path, SETTINGS) as engine:
            assert engine.chat_error is None
            assert engine.chat is not None
            prompt = ConversationPrompt(messages=[Message(role="user", content="Hello")])
            assert engine.chat.render(prompt).text == "Hello"
