"""Builds the admin panel with npm; finished builds are kept by content.

Without npm the package is built without the panel: an agent never needs it,
and a balancer says what is missing when it is asked for the panel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .cache import cache_root, digest, locked, mirror, replaced_directory, tree_digest
from .errors import BuildError, disk_errors

if TYPE_CHECKING:
    from .progress import Progress

FRONTEND = Path("paddler") / "balancer" / "admin_panel" / "frontend"
ASSETS = Path("paddler") / "balancer" / "admin_panel" / "assets"
NOT_SOURCE = frozenset({"node_modules", "dist", "tests"})
SHOWN_LINES = 30
OLDEST_NODE = (20, 19)


def wanted() -> str:
    """What PADDLER_PANEL says: auto (the default), required, or skip."""
    choice = os.environ.get("PADDLER_PANEL", "auto")
    if choice not in {"auto", "required", "skip"}:
        raise BuildError(f"PADDLER_PANEL is {choice!r}: say auto, required or skip.")
    return choice


def build_panel(root: Path, progress: Progress) -> Path | None:
    """The directory of the built panel, or None if it cannot be built here.

    Raises:
        BuildError: It cannot be built and PADDLER_PANEL says `required`.
    """
    choice = wanted()
    if choice == "skip":
        progress.note("the admin panel is left out, as PADDLER_PANEL says")
        return None
    try:
        return _build(root, progress)
    except BuildError as error:
        if choice == "required":
            raise
        progress.note(f"the admin panel is left out: {error}")
        return None


def _build(root: Path, progress: Progress) -> Path:
    source = root / FRONTEND
    finished = cache_root() / "panel" / "built" / tree_digest(source, skip=NOT_SOURCE)
    if (finished / "index.html").is_file():
        return finished
    npm = _find_npm()
    lock = (source / "package-lock.json").read_text(encoding="utf-8")
    tree = cache_root() / "panel" / "trees" / digest([lock])
    with locked(tree, progress):
        progress.note("building the admin panel with npm")
        with disk_errors(tree):
            tree.mkdir(parents=True, exist_ok=True)
            _mirror_source(source, tree)
        installed = tree / "node_modules" / ".package-lock.json"
        if not installed.is_file():
            _run([npm, "ci", "--omit=dev", "--no-audit", "--no-fund"], tree)
        with replaced_directory(finished) as fresh:
            _run([npm, "run", "build", "--", "--outDir", str(fresh), "--emptyOutDir"], tree)
    return finished


def _mirror_source(source: Path, tree: Path) -> None:
    # `mirror` would delete node_modules, so folders are mirrored one by one.
    for path in source.iterdir():
        if path.name in NOT_SOURCE:
            continue
        if path.is_dir():
            (tree / path.name).mkdir(exist_ok=True)
            mirror(path, tree / path.name)
        else:
            shutil.copyfile(path, tree / path.name)


def _find_npm() -> str:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise BuildError("npm is not installed (it comes with Node.js 20.19 or newer).")
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = tuple(int(part) for part in answer.stdout.strip().lstrip("v").split(".")[:2] if part)
    if version < OLDEST_NODE:
        raise BuildError(f"Node.js {answer.stdout.strip()} is too old: 20.19 or newer is needed.")
    return npm


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shown = "\n".join(done.stdout.splitlines()[-SHOWN_LINES:])
        raise BuildError(f"`{' '.join(['npm', *command[1:3]])}` failed in {directory}:\n{shown}")


def place_panel(root: Path, built: Path) -> Path:
    """Puts a built panel into the checkout, where the balancer looks for it."""
    target = root / ASSETS
    with replaced_directory(target) as fresh:
        shutil.copytree(built, fresh, dirs_exist_ok=True)
    return target
