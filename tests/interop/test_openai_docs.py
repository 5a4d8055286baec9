"""The examples of docs/openai.md in Python and JavaScript, run as they stand there but for the
address. Lines for curl are tested with those of all other pages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.real_programs import RealBalancer

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "openai.md").read_text(encoding="utf-8")
JAVASCRIPT = Path(__file__).parent / "javascript"
DOCUMENTED_URL = "http://127.0.0.1:8063"
LIMIT_S = 120

_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


def examples(language: str) -> list[str]:
    return [block["code"] for block in _BLOCK.finditer(PAGE) if block["language"] == language]


PYTHON = examples("python")


def run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, timeout=LIMIT_S, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def addressed(code: str, fleet: RealBalancer) -> str:
    assert DOCUMENTED_URL in code
    return code.replace(DOCUMENTED_URL, fleet.url("openai"))


def test_there_are_examples_in_every_language() -> None:
    assert len(PYTHON) >= 3
    assert len(examples("js")) >= 2


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_an_example_in_python(openai_fleet: RealBalancer, number: int, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(addressed(PYTHON[number], openai_fleet), encoding="utf-8")
    assert run([sys.executable, str(script)], tmp_path).strip()


@pytest.fixture(scope="module")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with npm's `openai` package in the version that is pinned."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    project = tmp_path_factory.mktemp("javascript") / "project"
    shutil.copytree(JAVASCRIPT, project, ignore=shutil.ignore_patterns("node_modules"))
    run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], project)
    return project


@pytest.mark.parametrize("number", range(len(examples("js"))))
def test_an_example_in_javascript(
    openai_fleet: RealBalancer, number: int, node_project: Path
) -> None:
    script = node_project / f"example_{number}.mjs"
    script.write_text(addressed(examples("js")[number], openai_fleet), encoding="utf-8")
    assert run(["node", script.name], node_project).strip()
