"""Every issue is explained, with something to do about it."""

from __future__ import annotations

import typing

import pytest

from paddler.balancer.services.management.issue_advice import explain_issue
from paddler.messages.agents import (
    ChatTemplateIssue,
    HuggingFaceLockIssue,
    Issue,
    ModelIssue,
    ModelIssueKind,
    SlotIssue,
    issue_to_json,
)

ISSUES: list[Issue] = [
    *(ModelIssue(kind, "/model.gguf") for kind in typing.get_args(ModelIssueKind)),
    ChatTemplateIssue("unexpected end", "/model.gguf", "{% if %}"),
    HuggingFaceLockIssue("/cache/lock", "/model.gguf"),
    SlotIssue("no memory", 3),
]


@pytest.mark.parametrize("issue", ISSUES, ids=lambda issue: next(iter(issue_to_json(issue))))
def test_an_issue_has_the_contracts_name_a_meaning_and_an_advice(issue: Issue) -> None:
    shown = explain_issue(issue)
    assert shown.kind == next(iter(issue_to_json(issue)))
    assert shown.summary.endswith(".")
    assert shown.advice.endswith(".")
    assert shown.subject


def test_a_template_that_does_not_compile_comes_with_its_error_and_itself() -> None:
    shown = explain_issue(ChatTemplateIssue("unexpected end", "/model.gguf", "{% if %}"))
    assert (shown.error, shown.template_content) == ("unexpected end", "{% if %}")
