"""The cache of a build: named by content, bounded, never half written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from build_support.cache import mark_used, mirror, prune, replaced_directory, tree_digest


def write(root: Path, **files: str) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_a_digest_knows_names_and_contents_and_not_times(tmp_path: Path) -> None:
    one = tree_digest(write(tmp_path / "one", a="1", b__c="2"))
    same = write(tmp_path / "two", a="1", b__c="2")
    os.utime(same / "a", (0, 0))
    assert tree_digest(same) == one
    assert tree_digest(write(tmp_path / "three", a="1", b__d="2")) != one
    assert tree_digest(write(tmp_path / "four", a="1", b__c="3")) != one


def test_a_skipped_folder_and_compiled_python_do_not_count(tmp_path: Path) -> None:
    plain = tree_digest(write(tmp_path / "one", a="1"))
    noisy = write(tmp_path / "two", a="1", skipped__b="2")
    write(noisy / "__pycache__", compiled="3")
    assert tree_digest(noisy, skip=frozenset({"skipped"})) == plain


def test_a_mirror_leaves_unchanged_files_alone_and_drops_what_is_gone(tmp_path: Path) -> None:
    source = write(tmp_path / "source", same="1", changed="1", gone="1")
    target = tmp_path / "target"
    mirror(source, target)
    os.utime(target / "same", (1, 1))
    write(source, changed="2", new="3")
    (source / "gone").unlink()
    mirror(source, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        "same": "1",
        "changed": "2",
        "new": "3",
    }
    assert (target / "same").stat().st_mtime == 1


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(FileNotFoundError), replaced_directory(target) as fresh:
        (write(fresh, half="1") / "missing").read_text()
    assert list(tmp_path.iterdir()) == []
    with replaced_directory(target) as fresh:
        write(fresh, whole="1")
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert [path.name for path in target.iterdir()] == ["whole"]


def test_what_was_used_last_is_kept(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "old", "oldest")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    mark_used(tmp_path / "oldest")
    prune(tmp_path, keep=2)
    assert {path.name for path in tmp_path.iterdir()} == {"newest", "oldest"}
