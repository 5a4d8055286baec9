"""The documentation against the product: what exists is documented, what is documented exists.

Flags, endpoints, metrics, issues, errors and parameters are read from the code;
the pages are read as text, code blocks included.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from paddler.balancer.http_edge.error_table import STATUSES
from paddler.balancer.metrics.registry import Gauges, MetricsRegistry
from paddler.balancer.requests.observations import BufferOutcome, RequestOutcome
from paddler.balancer.services.openai import errors as openai_errors
from paddler.cli.commands import load_command
from paddler.messages.agents import (
    AgentSnapshot,
    ApplicationStatus,
    ChatTemplateIssue,
    HuggingFaceLockIssue,
    ModelIssueKind,
    SlotIssue,
    issue_to_json,
)
from paddler.messages.generation import GenerationFailure, Usage
from paddler.messages.inference import ContinueFromConversationHistory, ContinueFromRawPrompt
from paddler.messages.sampling import Sampling
from paddler.messages.state import DesiredState, InferenceParameters
from tests.docs.pages import DOCS, EVERYWHERE, PAGES, ROOT

PROGRAMS = ("balancer", "agent", "demo")
SERVICES = ("services/inference", "services/management", "services/openai", "admin_panel")

FOREIGN_FLAGS = {
    *("--max-time", "--no-deps", "--wheel-dir", "--help", "--version"),  # curl, pip, click
    *("--quick", "--model", "--tables", "--minutes"),  # benchmarks
}

_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+[a-z]\b")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.*)$", re.MULTILINE)
_CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_ROUTE = re.compile(
    r'add_(?P<kind>socket_)?route\(\s*(?:"(?P<method>[A-Z]+)",\s*)?"(?P<path>/[^"]*)"'
)
_ENDPOINT = re.compile(r"/(?:api/v1|v1)/[\w/{}$-]+")


def page(name: str) -> str:
    """The text of a page of `docs/`."""
    return (DOCS / name).read_text(encoding="utf-8")


def flags_of(program: str) -> dict[str, click.Option]:
    """A program's flags, without click's own."""
    return {
        name: option
        for option in load_command(program).params
        if isinstance(option, click.Option)
        for name in option.opts
        if name != "--version"
    }


def section(text: str, title: str) -> str:
    """What stands under the heading `title`, up to the next one of its level or above."""
    level, rest = re.split(rf"^(#+) {re.escape(title)}$", text, maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def routes() -> Iterator[tuple[str, str, str]]:
    """Service, method (or WebSocket) and path of every route, parameters as `{}`."""
    for service in SERVICES:
        source = (ROOT / "paddler/balancer" / service / "service.py").read_text(encoding="utf-8")
        for match in _ROUTE.finditer(source):
            method = "WebSocket" if match["kind"] else match["method"]
            yield service, method, without_names(match["path"])


def without_names(path: str) -> str:
    """`path` with each parameter, or shell variable in place of one, as `{}`."""
    return re.sub(r"<[^>]*>|\{[^}]*\}|\$\w+", "{}", path)


def anchors(path: Path) -> set[str]:
    """Where links into a page may point, as GitHub names headings."""
    text = _CODE_BLOCK.sub("", path.read_text(encoding="utf-8"))
    titles = (match["title"].lower() for match in _HEADING.finditer(text))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_flag_is_documented_with_its_default(program: str) -> None:
    text = section(
        page("command-line.md"), "paddler demo" if program == "demo" else f"paddler-{program}"
    )
    for flag, option in flags_of(program).items():
        row = re.search(rf"^\| `{flag}` \| (?P<default>.*?) \| .+ \|$", text, re.MULTILINE)
        assert row is not None, f"{flag} of {program} has no row in docs/command-line.md"
        documented = row["default"].strip("`")
        if option.required:
            assert documented == "required", flag
        elif isinstance(option.default, (int, str)) and not option.is_flag and flag != "--prompt":
            assert documented == str(option.default), flag


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda path: path.name)
def test_no_page_names_a_flag_that_does_not_exist(path: Path) -> None:
    known = {flag for program in PROGRAMS for flag in flags_of(program)} | FOREIGN_FLAGS
    named = set(_FLAG.findall(path.read_text(encoding="utf-8")))
    assert named <= known, f"unknown flags: {sorted(named - known)}"


def test_environment_variables_are_those_of_the_programs() -> None:
    known = {
        f"PADDLER_{program}_{flag.strip('-')}".upper().replace("-", "_")
        for program in PROGRAMS
        for flag in flags_of(program)
    }
    for path in EVERYWHERE:
        named = re.findall(
            r"\bPADDLER_(?:BALANCER|AGENT|DEMO)_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")
        )
        assert set(named) <= known, path.name


def test_every_endpoint_is_documented() -> None:
    reference = page("api-reference.md")
    titles = {
        "services/inference": "Inference service",
        "services/management": "Management service",
        "services/openai": "OpenAI-compatible service",
        "admin_panel": "Admin panel",
    }
    found = list(routes())
    assert {service for service, _, _ in found} == set(SERVICES), "routes are registered elsewhere"
    for service, method, path in found:
        rows = [
            without_names(line)
            for line in section(reference, titles[service]).splitlines()
            if line.startswith(f"| {method} ")
        ]
        assert any(f"`{path}`" in row for row in rows), f"{method} {path} of the {service}"


def test_every_endpoint_without_parameters_has_a_line_to_try() -> None:
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", page("api-reference.md"), re.DOTALL))
    for service, method, path in routes():
        if "agent_socket" in path or path in ("/", "/health", "/ready", "/{}"):
            continue
        assert path in without_names(commands), f"{method} {path} of the {service}"


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda path: path.name)
def test_no_page_names_an_endpoint_that_does_not_exist(path: Path) -> None:
    known = {route for _, _, route in routes()}
    for named in _ENDPOINT.findall(path.read_text(encoding="utf-8")):
        assert without_names(named).rstrip("/") in known, named


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    text = _CODE_BLOCK.sub("", path.read_text(encoding="utf-8"))
    for match in _LINK.finditer(text):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{path.name}: {match['target']}"
        if anchor:
            assert anchor in anchors(file), f"{path.name}: {match['target']}"


def test_the_index_lists_every_page() -> None:
    listed = {match["target"] for match in _LINK.finditer(page("README.md"))}
    assert {path.name for path in PAGES} - {"README.md"} == listed
    assert "(docs/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_metric_is_documented_with_its_labels() -> None:
    registry = MetricsRegistry("paddler_")
    registry.watch(Gauges(slots_processing=int, slots_total=int, requests_buffered=int))
    registry.watch_caches(list)
    families = dict(re.findall(r"^# TYPE (\w+) (\w+)$", registry.text().decode(), re.MULTILINE))
    documented = {
        match["name"]: match["kind"]
        for match in re.finditer(
            r"^\| `(?P<name>paddler_\w+)` \| (?P<kind>\w+) \|", page("metrics.md"), re.MULTILINE
        )
    }
    assert families == documented


def test_every_value_of_a_label_is_documented() -> None:
    text = page("metrics.md")
    for outcome in (*BufferOutcome, *RequestOutcome):
        assert f"`{outcome.value}`" in text, outcome


def test_every_issue_is_documented() -> None:
    issues = section(page("models-and-templates.md"), "Issues")
    others = (
        ChatTemplateIssue("", "", ""),
        HuggingFaceLockIssue("", ""),
        SlotIssue("", 0),
    )
    kinds = {*typing.get_args(ModelIssueKind), *(k for i in others for k in issue_to_json(i))}
    documented = set(re.findall(r"^\| `(\w+)` \|", issues, re.MULTILINE))
    assert documented == kinds


def test_every_error_of_the_edge_is_documented_with_its_status() -> None:
    reference = page("api-reference.md")
    for error, status in STATUSES.items():
        lines = [line for line in reference.splitlines() if f"`{error.__name__}`" in line]
        assert lines, error.__name__
        if status != 500:
            assert any(line.startswith(f"| {status} |") for line in lines), error.__name__


def test_every_error_of_the_openai_service_is_documented() -> None:
    for error in (openai_errors.BadRequest, openai_errors.ModelNotFound):
        assert f"`{error.__name__}`" in page("api-reference.md")


def test_every_result_of_a_generation_is_documented() -> None:
    table = section(page("api-reference.md"), "Generated tokens")
    for failure in GenerationFailure:
        assert f"`{failure.value}`" in table, failure
    for field in msgspec.structs.fields(Usage):
        assert f"`{field.name}`" in table, field.name


@pytest.mark.parametrize(
    ("struct", "name"),
    [
        (ContinueFromRawPrompt, "api-reference.md"),
        (ContinueFromConversationHistory, "api-reference.md"),
        (DesiredState, "api-reference.md"),
        (AgentSnapshot, "api-reference.md"),
        (InferenceParameters, "inference-parameters.md"),
        (Sampling, "inference-parameters.md"),
    ],
)
def test_every_field_is_documented(struct: type[msgspec.Struct], name: str) -> None:
    text = page(name)
    missing = [
        field.encode_name
        for field in msgspec.structs.fields(struct)
        if f"`{field.encode_name}`" not in text
    ]
    assert not missing


def test_defaults_of_inference_parameters_are_the_documented_ones() -> None:
    text = page("inference-parameters.md")
    parameters = msgspec.to_builtins(InferenceParameters())
    for row in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.+?) \| ", text, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", row[0]):
            if name in parameters:
                default = parameters[name]
                shown = str(default).lower() if isinstance(default, bool) else str(default)
                assert row[1].strip("`") == shown, name


def test_every_status_of_an_agent_is_documented() -> None:
    text = section(page("api-reference.md"), "Agents snapshot")
    for status in ApplicationStatus:
        assert f"`{status.value}`" in text, status
