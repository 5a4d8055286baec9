"""The embedded model becomes one file, whole or not at all."""

from __future__ import annotations

import hashlib
import sys
import types
from pathlib import Path

import pytest

from paddler.cli.embedded_model import (
    PACKAGE,
    EmbeddedModelMissing,
    embedded_model_path,
)

PIECES = [b"first piece, ", b"second piece"]


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.SimpleNamespace:
    """A stand-in for the packages of the demo extra, a few bytes large."""
    pieces = []
    for index, content in enumerate(PIECES):
        piece = tmp_path / f"piece{index}"
        piece.write_bytes(content)
        pieces.append(piece)
    package = types.SimpleNamespace(
        EXPECTED_SHA256=hashlib.sha256(b"".join(PIECES)).hexdigest(),
        MODEL_NAME="small.gguf",
        chunk_paths=lambda: pieces,
    )
    monkeypatch.setitem(sys.modules, PACKAGE, package)
    monkeypatch.setenv("PADDLER_CACHE_DIR", str(tmp_path / "cache"))
    return package


def files_left(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_the_pieces_become_one_file_and_progress_is_told(
    package: types.SimpleNamespace, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    path = embedded_model_path(lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == b"".join(PIECES)
    assert seen == [(13, 25), (25, 25)]
    assert files_left(tmp_path) == ["small.gguf"]


def test_a_second_call_writes_nothing(package: types.SimpleNamespace) -> None:
    first = embedded_model_path()
    written_at = first.stat().st_mtime_ns
    assert embedded_model_path() == first
    assert first.stat().st_mtime_ns == written_at


def test_damaged_pieces_leave_nothing_behind(
    package: types.SimpleNamespace, tmp_path: Path
) -> None:
    package.chunk_paths()[1].write_bytes(b"something else")
    with pytest.raises(EmbeddedModelMissing, match="damaged"):
        embedded_model_path()
    assert files_left(tmp_path) == []


def test_stopping_half_way_leaves_nothing_behind(
    package: types.SimpleNamespace, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        embedded_model_path(stop)
    assert files_left(tmp_path) == []


def test_a_missing_piece_is_named(package: types.SimpleNamespace) -> None:
    package.chunk_paths()[0].unlink()
    with pytest.raises(EmbeddedModelMissing, match="piece0"):
        embedded_model_path()


def test_without_the_extra_the_message_tells_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(EmbeddedModelMissing, match=r"paddler\[demo\]"):
        embedded_model_path()
