"""clang-tidy over native code: what it looks at again, and what it says."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from build_support.errors import BuildError
from build_support.progress import Progress
from build_support.source import LlamaSource
from build_support.tidy import tidy

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("clang_tidy") is None, reason="clang-tidy comes with the dev extra"
)

CLEAN = '#include "room/number.h"\nint twice(int number) { return 2 * number + base; }\n'
FAULTY = "int divided(int number) { int zero = 0; return number / zero; }\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PADDLER_CACHE_DIR", str(tmp_path / "cache"))
    root = tmp_path / "checkout"
    for folder in ("native/src/room", "native/include", "tests/native"):
        (root / folder).mkdir(parents=True)
    (root / ".clang-tidy").write_text(
        "Checks: '-*,clang-analyzer-*,readability-braces-around-statements'\n"
        "WarningsAsErrors: '*'\nHeaderFilterRegex: '/native/src/'\n"
    )
    (root / "native" / "warnings.txt").write_text("-Wall\n")
    (root / "native" / "src" / "room" / "number.h").write_text("constexpr int base = 3;\n")
    (root / "native" / "src" / "room" / "clean.cpp").write_text(CLEAN)
    (root / "tests" / "native" / "clean_test.cpp").write_text("int main() { return 0; }\n")
    return root


def look(root: Path, digest: str = "1") -> None:
    tidy(root, LlamaSource(path=root / "llama", digest=digest, version="1"), Progress())


def looked_at(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of what was said: how many files were looked at."""
    return capsys.readouterr().err.strip().rpartition("\n")[2].rpartition("looked at ")[2]


def test_a_fault_is_shown_and_looked_at_until_it_is_mended(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = checkout / "native" / "src" / "room" / "faulty.cpp"
    faulty.write_text(FAULTY)
    for _ in range(2):
        with pytest.raises(BuildError, match="faults in 1 files"):
            look(checkout)
        shown = capsys.readouterr().err
        assert str(faulty) in shown
        assert "Division by zero" in shown
        assert "of 3 files" in shown
    faulty.write_text(FAULTY.replace("= 0", "= 1"))
    look(checkout)
    assert looked_at(capsys) == "1 of 3 files"


def test_what_is_clean_is_looked_at_again_once_anything_it_depends_on_changed(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look(checkout)
    assert looked_at(capsys) == "2 of 2 files"
    look(checkout)
    assert looked_at(capsys) == "0 of 2 files"
    header = checkout / "native" / "src" / "room" / "number.h"
    header.write_text("constexpr int base = 4;\n")
    look(checkout)
    assert looked_at(capsys) == "1 of 2 files"
    (checkout / "native" / "warnings.txt").write_text("-Wall -Wextra\n")
    look(checkout)
    assert looked_at(capsys) == "2 of 2 files"
    look(checkout, digest="2")
    assert looked_at(capsys) == "2 of 2 files"


def test_another_checkout_of_the_same_state_is_clean(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = checkout.with_name("other")
    shutil.copytree(checkout, other)
    llama = LlamaSource(path=checkout.with_name("llama"), digest="1", version="1")
    tidy(checkout, llama, Progress())
    assert looked_at(capsys) == "2 of 2 files"
    tidy(other, llama, Progress())
    assert looked_at(capsys) == "0 of 2 files"


def test_a_fault_in_a_header_is_shown_by_who_includes_it(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = checkout / "native" / "src" / "room" / "number.h"
    header.write_text("inline int base(int n) { if (n > 3) return 1; return 2; }\n")
    source = checkout / "native" / "src" / "room" / "clean.cpp"
    source.write_text(CLEAN.replace("+ base", "+ base(number)"))
    with pytest.raises(BuildError, match="faults in 1 files"):
        look(checkout)
    assert f"{header}:1" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_as_c_plus_plus_is_no_clean_file(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "native" / "src" / "room" / "broken.cpp").write_text('#include "missing.h"\n')
    with pytest.raises(BuildError, match="faults in 1 files"):
        look(checkout)
    assert "'missing.h' file not found" in capsys.readouterr().err


def test_without_clang_tidy_the_way_to_it_is_named(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"pip install 'paddler\[dev\]'"):
        look(checkout)
