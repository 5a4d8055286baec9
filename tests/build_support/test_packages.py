"""What ends up in the sdist and in the wheel."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = {".py", ".cpp", ".h", ".jinja", ".lock", ".txt"}


def build(target: str, directory: Path) -> Path:
    """Calls the build backend the way pip does, without an environment of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = directory.iterdir()
    return built


def sources(folder: str) -> set[str]:
    found = (ROOT / folder).rglob("*")
    return {
        str(path.relative_to(ROOT))
        for path in found
        if path.suffix in CODE and not {"node_modules", "__pycache__"} & set(path.parts)
    }


def test_the_sdist_has_all_that_a_build_needs_and_nothing_built(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = sources("native") | sources("paddler") | sources("tests")
    wanted |= {"build.py", "pyproject.toml", "Makefile", "README.md", "LICENSE"}
    assert wanted - names == set()
    assert not [name for name in names if name.endswith(".so") or "node_modules" in name]


def test_the_wheel_has_the_extension_and_no_sources_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDLER_PANEL", "skip")
    wheel = build("wheel", tmp_path)
    assert "-cp311-abi3-" in wheel.name or f"-cp3{sys.version_info.minor}" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        programs = archive.read(entry_points).decode()
    extensions = [name for name in names if name.startswith("paddler/engine/_native.")]
    assert len(extensions) == 1
    assert sources("paddler") - names == set()
    assert not [name for name in names if name.startswith(("native/", "tests/"))]
    for program in ("paddler =", "paddler-agent =", "paddler-balancer ="):
        assert program in programs
