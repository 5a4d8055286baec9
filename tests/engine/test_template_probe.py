"""Templates that would crash or hang the agent are found out in another process."""

from __future__ import annotations

import pytest
import trio

from paddler.engine.errors import BadTemplate
from paddler.engine.template_probe import probe_template
from tests.support.llama_cpp import chat_template

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
    with trio.fail_after(TIMEOUT_S), pytest.raises(BadTemplate):
        await probe_template(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content }}",
        "{% for message in messages %}",
        "{{ raise_exception('never') }}",
        "",
    ],
    ids=["good", "unclosed", "refusing", "empty"],
)
async def test_what_merely_fails_is_left_to_whoever_opens_it(source: str) -> None:
    with trio.fail_after(TIMEOUT_S):
        await probe_template(source)


async def test_a_real_template_passes() -> None:
    with trio.fail_after(TIMEOUT_S):
        await probe_template(chat_template("openai-gpt-oss-120b"))
