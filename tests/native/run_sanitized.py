"""Runs the C++ test programs under AddressSanitizer and ThreadSanitizer: `make sanitize`.

    python tests/native/run_sanitized.py [address] [thread]

Every program gets tiny model files as its arguments, one of each kind of memory,
plain attention first. llama.cpp itself is not instrumented, which the options
below take into account.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from tests.support.tiny_models import (  # noqa: E402 - found through the line above
    tiny_hybrid,
    tiny_llama,
    tiny_mamba,
    tiny_sliding_window,
)

TIMEOUT_S = 300
OPTIONS = {
    # Containers that are filled by uninstrumented code look overflown.
    "address": {"ASAN_OPTIONS": "detect_container_overflow=0:detect_stack_use_after_return=1"},
    "thread": {"TSAN_OPTIONS": f"suppressions={HERE / 'tsan_suppressions.txt'}:halt_on_error=1"},
}


def programs(sanitizer: str) -> list[Path]:
    """Builds them; exits with the build's own message if that fails."""
    build = [sys.executable, "build.py", "tests", sanitizer]
    done = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return [Path(line) for line in done.stdout.split("\n") if line]


def run(program: Path, sanitizer: str, models: list[Path]) -> bool:
    """Whether the program ended well; its output is shown if not."""
    command = [str(program), *map(str, models)]
    # ThreadSanitizer cannot place its shadow where addresses are too random.
    if sanitizer == "thread" and shutil.which("setarch"):
        command = ["setarch", "-R", *command]
    environment = {**os.environ, **OPTIONS[sanitizer]}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"{sanitizer:8} {program.name}: not done after {TIMEOUT_S} s")
        return False
    print(f"{sanitizer:8} {program.name}: {'passed' if done.returncode == 0 else 'FAILED'}")
    if done.returncode != 0:
        print(done.stdout)
    return done.returncode == 0


def main(sanitizers: list[str]) -> int:
    """Runs everything; returns the exit code."""
    n_passed = n_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        kinds = (tiny_llama, tiny_sliding_window, tiny_mamba, tiny_hybrid)
        models = [make(Path(folder) / f"{make.__name__}.gguf") for make in kinds]
        for sanitizer in sanitizers or list(OPTIONS):
            for program in programs(sanitizer):
                if run(program, sanitizer, models):
                    n_passed += 1
                else:
                    n_failed += 1
    print(f"{n_passed} passed, {n_failed} failed")
    return 1 if n_failed or not n_passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
