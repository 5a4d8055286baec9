"""Whatever goes wrong in a build ends in one sentence and exit code 1.

The program is run as a person would, with a cache of its own.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from build_support.package_index import fetch
from build_support.pin import read_pin
from build_support.progress import Progress
from tests.build_support.indexes import file_index, index_settings, pin_of

ROOT = Path(__file__).resolve().parents[2]
PIN = read_pin(ROOT / "native" / "llama_cpp.lock")


def run_build(cache: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_TIMEOUT": "5"}
    environment = {**kept, **pip, "CI": "1", "PADDLER_CACHE_DIR": str(cache), **variables}
    return subprocess.run(
        [sys.executable, "build.py", "extension"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def the_error(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_a_missing_compiler_is_named_with_what_to_install(tmp_path: Path) -> None:
    error = the_error(run_build(tmp_path, CXX="/nowhere/c++"))
    assert "needs a C++ compiler" in error
    assert "CXX=/nowhere/c++" in error


def test_a_machine_without_any_compiler_is_told_so(tmp_path: Path) -> None:
    error = the_error(run_build(tmp_path, PATH=str(tmp_path)))
    assert "needs a C compiler" in error


def test_no_network_names_the_index_and_the_ways_out(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = the_error(run_build(tmp_path, PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple"))
    assert f"http://127.0.0.1:{port}/simple: Connection refused" in error
    assert "PADDLER_LLAMA_CPP_DIR" in error


def test_a_foreign_file_is_refused_by_its_hash(tmp_path: Path) -> None:
    index = file_index(tmp_path / "index", PIN, b"not the pinned source")
    error = the_error(run_build(tmp_path / "cache", PIP_INDEX_URL=index))
    assert "is not the pinned llama.cpp source" in error
    assert PIN.sha256 in error
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert all(name.endswith(".lock") for name in left)


@pytest.mark.parametrize(
    "index", ["http://127.0.0.1:port/simple", "http://[::1/simple", "gopher://127.0.0.1/simple"]
)
def test_an_index_whose_address_is_none_is_named(tmp_path: Path, index: str) -> None:
    error = the_error(run_build(tmp_path, PIP_INDEX_URL=index))
    assert index in error


def test_an_index_without_the_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    index = (tmp_path / "index").as_uri()
    error = the_error(run_build(tmp_path / "cache", PIP_INDEX_URL=index))
    assert f"{index} does not have it" in error


def test_a_checkout_that_is_none_is_named(tmp_path: Path) -> None:
    error = the_error(run_build(tmp_path, PADDLER_LLAMA_CPP_DIR=str(tmp_path)))
    assert str(tmp_path) in error
    assert "include/llama.h" in error


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    error = the_error(run_build(blocked))
    assert str(blocked) in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    content = b"x" * 100_000
    pin = pin_of(content)
    index = file_index(tmp_path, pin, content)
    with Progress() as progress, pytest.raises(Exception, match=r"The disk that holds .* is full"):
        fetch(pin, Path("/dev/full"), index_settings(index), progress)
