"""Where a build keeps its results, and how several builds share that place."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from .errors import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .progress import Progress


def cache_root() -> Path:
    """PADDLER_CACHE_DIR, else the user's cache directory for paddler."""
    chosen = os.environ.get("PADDLER_CACHE_DIR")
    root = Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("paddler")
    return root.absolute() / "build"


@contextmanager
def locked(path: Path, progress: Progress) -> Iterator[None]:
    """Holds the lock of `path` (a file or directory to be) against other builds."""
    lock_path = path.with_name(path.name + ".lock")
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_path.open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note(f"waiting for another build that holds {lock_path}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def replaced_directory(target: Path) -> Iterator[Path]:
    """A new directory that becomes `target` if the block ends well, and vanishes if not."""
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield fresh
            fresh.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            fresh.replace(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def prune(directory: Path, keep: int) -> None:
    """Keeps the `keep` folders of `directory` that were used last; see `mark_used`."""
    folders = [path for path in directory.iterdir() if path.is_dir() and path.name[0] != "."]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in folders[keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def mark_used(folder: Path) -> None:
    """Tells `prune` that the folder is of use; a cache that cannot be written is fine."""
    with suppress(OSError):
        os.utime(folder)


def digest(parts: Iterable[str]) -> str:
    """A short name for what the parts say together."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part.encode() + b"\0")
    return hasher.hexdigest()[:20]


def tree_digest(root: Path, *, skip: frozenset[str] = frozenset()) -> str:
    """A name for the content of every file below `root`, `skip`ped top folders left out."""
    hasher = hashlib.sha256()
    for directory, folders, files in os.walk(root):
        here = Path(directory)
        folders[:] = sorted(
            name
            for name in folders
            if name not in {".git", "__pycache__"} and not (here == root and name in skip)
        )
        for name in sorted(files):
            path = here / name
            if path.is_symlink() or name.endswith(".pyc"):
                continue
            hasher.update(str(path.relative_to(root)).encode() + b"\0")
            hasher.update(hashlib.sha256(path.read_bytes()).digest())
    return hasher.hexdigest()[:20]


def mirror(source: Path, target: Path) -> None:
    """Makes `target` a copy of `source`, touching only files whose content differs."""
    wanted = {
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with disk_errors(target):
        for relative in wanted:
            content = (source / relative).read_bytes()
            copy = target / relative
            if not copy.is_file() or copy.read_bytes() != content:
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(content)
        for path in [path for path in target.rglob("*") if path.is_file()]:
            if path.relative_to(target) not in wanted:
                path.unlink()
