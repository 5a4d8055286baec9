"""Templates that would crash or hang the agent are found out in another process."""

from __future__ import annotations

import pytest
import trio

from paddler.engine.template_probe import MAX_PREVIEW_CHARS, try_template
from tests.support.llama_cpp import chat_template
from tests.support.real_programs import GEMMA_TEMPLATE

TIMEOUT_S = 120.0


@pytest.mark.parametrize(
    "source",
    [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'a'" + "|upper" * 60_000 + " }}",
        "{% if 1 %}" * 20_000 + "{% endif %}" * 20_000,
        "{{ " + "not " * 100_000 + "1 }}",
        "{% for i in range(1000000000) %}x{% endfor %}",
    ],
    ids=["endless macro", "filters", "blocks", "operators", "endless loop"],
)
async def test_a_template_that_would_take_the_agent_down_is_refused(source: str) -> None:
    with trio.fail_after(TIMEOUT_S):
        assert (await try_template(source)).error is not None


async def test_a_template_that_does_not_compile_says_why() -> None:
    with trio.fail_after(TIMEOUT_S):
        check = await try_template("{% for message in messages %}")
    assert check.error is not None
    assert "line 1: {% for %} has no {% endfor %}" in check.error
    assert check.preview is None


async def test_a_template_that_refuses_a_plain_question_is_no_error() -> None:
    with trio.fail_after(TIMEOUT_S):
        check = await try_template("{{ raise_exception('never') }}")
    assert check.error is None
    assert check.warning is not None
    assert "never" in check.warning


async def test_a_good_template_shows_what_it_writes() -> None:
    with trio.fail_after(TIMEOUT_S):
        check = await try_template(GEMMA_TEMPLATE)
        assert check.error is check.warning is None
        assert check.preview is not None
        assert "<start_of_turn>user\nHello<end_of_turn>" in check.preview
        assert (await try_template("")).error == "the chat template is empty"


async def test_a_long_preview_is_cut() -> None:
    with trio.fail_after(TIMEOUT_S):
        check = await try_template("x" * (2 * MAX_PREVIEW_CHARS))
    assert check.preview == "x" * MAX_PREVIEW_CHARS


async def test_a_real_template_passes() -> None:
    with trio.fail_after(TIMEOUT_S):
        check = await try_template(chat_template("openai-gpt-oss-120b"))
    assert check.error is check.warning is None
