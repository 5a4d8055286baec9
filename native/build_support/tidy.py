"""clang-tidy over the native code and its tests, several files at once.

A file is looked at again only when it, a header of ours that it includes, the
checks, the flags, clang-tidy or llama.cpp changed since it was clean.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .cache import cache_root, digest, mark_used
from .errors import BuildError, disk_errors
from .toolchain import jobs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .progress import Progress
    from .source import LlamaSource

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# Names of clean files, empty: some ten checkouts of fifty files.
KEPT_STAMPS = 1000


@dataclass(frozen=True, kw_only=True)
class TidyRun:
    """One checkout, one llama.cpp, one clang-tidy."""

    root: Path
    source: LlamaSource
    program: str

    @property
    def include_directories(self) -> list[Path]:
        """Ours, in which a quoted include is looked for after the file's own folder."""
        return [self.root / "native" / "include", self.root / "native" / "src"]

    def flags(self) -> list[str]:
        """What native/CMakeLists.txt compiles with, as far as a front end cares."""
        llama = self.source.path
        foreign = ("include", "ggml/include", "common", "vendor", "tools/mtmd", "src")
        return [
            "-std=c++17",
            *(self.root / "native" / "warnings.txt").read_text(encoding="utf-8").split(),
            f'-DPADDLER_LLAMA_CPP_VERSION="{self.source.version}"',
            *(f"-I{directory}" for directory in self.include_directories),
            *(flag for name in foreign for flag in ("-isystem", str(llama / name))),
        ]

    def files(self) -> list[Path]:
        """What is compiled; headers are looked at through these."""
        folders = (self.root / "native" / "src", self.root / "tests" / "native")
        return sorted(path for folder in folders for path in folder.rglob("*.cpp"))

    def write_compile_commands(self) -> None:
        """The compile database in the root, where clang-tidy and editors look for it."""
        commands = [
            {
                "directory": str(self.root),
                "file": str(path),
                "arguments": ["c++", *self.flags(), "-c", str(path)],
            }
            for path in self.files()
        ]
        target = self.root / "compile_commands.json"
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        with disk_errors(self.root):
            fresh.write_text(json.dumps(commands, indent=1), encoding="utf-8")
            fresh.replace(target)

    def stamp_names(self) -> dict[Path, str]:
        """By file: a name for everything that a finding in it depends on."""
        version = subprocess.run(
            [self.program, "--version"], capture_output=True, text=True, check=True
        ).stdout
        checks = (self.root / ".clang-tidy").read_text(encoding="utf-8")
        # Not where the checkout lies: what is clean in one is clean in all.
        flags = [flag.replace(str(self.root), "") for flag in self.flags()]
        common = [version, checks, self.source.digest, *flags]
        texts: dict[Path, str] = {}
        return {path: digest([*common, *self._with_includes(path, texts)]) for path in self.files()}

    def _with_includes(self, path: Path, texts: dict[Path, str]) -> Iterable[str]:
        """Names and contents of a file and of ours that it includes, directly or not."""
        seen = {path}
        left = [path]
        while left:
            file = left.pop()
            text = texts.setdefault(file, file.read_text(encoding="utf-8"))
            yield str(file.relative_to(self.root))
            yield text
            for name in INCLUDE.findall(text):
                for directory in (file.parent, *self.include_directories):
                    header = directory / name
                    if header.is_file():
                        if header not in seen:
                            seen.add(header)
                            left.append(header)
                        break

    def findings(self, path: Path) -> str:
        """What clang-tidy says of one file; empty: nothing."""
        done = subprocess.run(
            [self.program, "--quiet", "-p", str(self.root), str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return ""
        # Without findings of its own it says on the other stream what keeps it from working.
        return done.stdout.strip() or done.stderr.strip() or f"clang-tidy fails over {path}"


def tidy(root: Path, source: LlamaSource, progress: Progress) -> None:
    """Prints what clang-tidy finds; raises BuildError if that is anything."""
    # Beside this interpreter, as the dev extra installs it, before any other.
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", ""))
    program = shutil.which("clang-tidy", path=os.pathsep.join(places))
    if program is None:
        raise BuildError("There is no clang-tidy: pip install 'paddler[dev]'.")
    run = TidyRun(root=root, source=source, program=program)
    run.write_compile_commands()
    stamps = cache_root() / "tidy"
    with disk_errors(stamps):
        stamps.mkdir(parents=True, exist_ok=True)
    names = run.stamp_names()
    for name in names.values():
        mark_used(stamps / name)
    changed = [path for path, name in names.items() if not (stamps / name).exists()]
    n_faulty = 0
    progress.step("clang-tidy")
    with ThreadPoolExecutor(jobs()) as pool:
        for n_done, (path, text) in enumerate(
            zip(changed, pool.map(run.findings, changed), strict=True), start=1
        ):
            progress.at(n_done, len(changed), path.name)
            if text:
                n_faulty += 1
                print(text, file=sys.stderr, flush=True)
            else:
                with disk_errors(stamps):
                    (stamps / names[path]).touch()
    _forget_old(stamps)
    progress.note(f"clang-tidy looked at {len(changed)} of {len(names)} files")
    if n_faulty:
        raise BuildError(f"clang-tidy finds faults in {n_faulty} files; they are above.")


def _forget_old(stamps: Path) -> None:
    """Keeps the stamps that were used last."""
    found = sorted(stamps.iterdir(), key=lambda stamp: stamp.stat().st_mtime, reverse=True)
    for stamp in found[KEPT_STAMPS:]:
        stamp.unlink(missing_ok=True)
