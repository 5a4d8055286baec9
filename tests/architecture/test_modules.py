"""How the code is cut into modules: their size, their names, and who imports whom."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from build_support.panel_types import TARGET

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400
# Tests are lists that are looked up, not texts that are read.
MAX_TEST_LINES = 600
# The whole interface between two languages reads as one text.
MAX_HEADER_LINES = 800
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}


def modules(*folders: str, suffixes: tuple[str, ...] = (".py",)) -> list[Path]:
    """Our own sources below these folders, relative to the root."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    return sorted(
        path.relative_to(ROOT)
        for path in found
        if path.suffix in suffixes and "node_modules" not in path.parts
    )


PYTHON = [Path("build.py"), *modules("paddler", "native", "tests", "benchmarks")]
NATIVE = modules("native", "tests/native", suffixes=(".cpp", ".h"))
FRONTEND = modules("paddler/balancer/admin_panel/frontend", suffixes=(".ts", ".tsx", ".css"))
WRITTEN = [*PYTHON, *NATIVE, *FRONTEND]
# Read where they are made from.
GENERATED = {TARGET.relative_to(ROOT)}


def max_lines(path: Path) -> int:
    if "tests" in path.parts:
        return MAX_TEST_LINES
    return MAX_HEADER_LINES if path.parent.name == "include" else MAX_LINES


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_a_module_is_small_enough_to_be_read_at_once() -> None:
    sizes = {path: len(text_of(path).splitlines()) for path in {*WRITTEN} - GENERATED}
    too_long = {str(path): n_lines for path, n_lines in sizes.items() if n_lines > max_lines(path)}
    assert not too_long, "split these by purpose"


def test_a_module_is_named_for_what_it_does() -> None:
    names = {str(path): {path.stem, *path.parent.parts} for path in WRITTEN}
    assert not [path for path, parts in names.items() if parts & NAMES_THAT_SAY_NOTHING]


def test_a_module_says_what_it_is_for() -> None:
    shipped = [path for path in PYTHON if path.parts[0] != "tests"]
    assert not [str(path) for path in shipped if not text_of(path).startswith('"""')]


def test_only_the_engine_package_touches_the_native_module() -> None:
    others = [path for path in modules("paddler") if path.parts[1] != "engine"]
    assert not [str(path) for path in others if "engine._native" in text_of(path)]


def test_imports_keep_to_the_contracts() -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program is not None, "import-linter is not installed in this environment"
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
