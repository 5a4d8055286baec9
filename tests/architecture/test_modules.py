"""How the code is cut into modules: their size, their names, and who imports whom."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}
PYTHON = sorted(
    path
    for folder in ("paddler", "native", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
NATIVE = sorted(path for path in (ROOT / "native").rglob("*") if path.suffix in {".cpp", ".h"})


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [ROOT / "build.py", *PYTHON, *NATIVE], ids=relative)
def test_a_module_is_small_enough_to_be_read_at_once(path: Path) -> None:
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    # A C header that is the whole interface between two languages reads as one text.
    limit = MAX_LINES if path.parent.name != "include" else 2 * MAX_LINES
    assert n_lines <= limit, f"{relative(path)} has {n_lines} lines; split it by purpose"


@pytest.mark.parametrize("path", [*PYTHON, *NATIVE], ids=relative)
def test_a_module_is_named_for_what_it_does(path: Path) -> None:
    names = {path.stem, *path.relative_to(ROOT).parent.parts}
    assert not names & NAMES_THAT_SAY_NOTHING


@pytest.mark.parametrize(
    "path", [path for path in PYTHON if path.is_relative_to(ROOT / "paddler")], ids=relative
)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8").lstrip()
    assert text.startswith('"""'), f"{relative(path)} has no docstring"


def test_imports_keep_to_the_contracts() -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program is not None, "import-linter is not installed in this environment"
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "path", [path for path in PYTHON if path.is_relative_to(ROOT / "paddler")], ids=relative
)
def test_only_the_engine_package_touches_the_native_module(path: Path) -> None:
    if path.is_relative_to(ROOT / "paddler" / "engine"):
        return
    assert "engine._native" not in path.read_text(encoding="utf-8")
