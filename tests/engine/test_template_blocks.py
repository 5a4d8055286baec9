"""Hints at what is wrong with a template that does not compile."""

from __future__ import annotations

import pytest

from paddler.engine.template_blocks import unmatched_block
from tests.support.llama_cpp import chat_template
from tests.support.real_programs import GEMMA_TEMPLATE


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("{% for m in messages %}\nnever closed", "line 1: {% for %} has no {% endfor %}"),
        ("a\n{% endif %}", "line 2: {% endif %} closes nothing"),
        (
            "{% for m in x %}\n{% if m %}\n{% endfor %}",
            "line 3: {% endfor %} where {% if %} of line 2 is open",
        ),
        ("a\n\n{{ message", "line 3: {{ has no }}"),
        ("{{ a }\n{{ b }}", "line 1: {{ has no }}"),
        ("{% if a }}{% endif %}", "line 1: {% has no %}"),
        ("{% set x %}y", "line 1: {% set %} has no {% endset %}"),
    ],
)
def test_the_first_mistake_is_named_with_its_line(source: str, hint: str) -> None:
    assert unmatched_block(source) == hint


@pytest.mark.parametrize(
    "source",
    [
        GEMMA_TEMPLATE,
        chat_template("openai-gpt-oss-120b"),
        "{# {% if #}{%- if a -%}{{ '}}' ~ \"{%\" }}{%- else -%}{% set b = 1 %}{%- endif -%}",
        "{% raw %}{% for {{ {% endraw %}",
        "",
    ],
    ids=["gemma", "gpt-oss", "quotes and comments", "raw", "empty"],
)
def test_nothing_is_found_where_nothing_is_wrong(source: str) -> None:
    assert unmatched_block(source) is None
