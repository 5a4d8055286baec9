"""The directory of downloaded models: names, locks, and what a disk can do wrong.

Files lie under `downloaded-models`, named by a hash of their URL. Next to
`<hash>.gguf` may lie `<hash>.gguf.part` (what came so far), `<hash>.gguf.json`
(its address, validator and length) and `<hash>.gguf.lock`, which agents of one
machine hold while they download. A file under its final name is complete.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import platformdirs
import trio

from paddler.agent.model_sources.errors import (
    CacheCannotAcquireLock,
    CacheDirectoryIsNotWritable,
    CacheStorageIsFull,
    ModelSourceError,
)

CACHE_DIR_VARIABLE = "PADDLER_CACHE_DIR"

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOCK_POLL_S = 0.25


def cache_directory(configured: Path | None) -> Path:
    """Where downloaded models lie: as configured, from the environment, or the user's cache."""
    if configured is not None:
        root = configured
    elif os.environ.get(CACHE_DIR_VARIABLE):
        root = Path(os.environ[CACHE_DIR_VARIABLE])
    else:
        root = platformdirs.user_cache_path("paddler", appauthor=False)
    return root / "downloaded-models"


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk says while `path` is written into the contract's errors.

    Raises:
        CacheStorageIsFull: No space, or the quota is used up.
        CacheDirectoryIsNotWritable: Anything else: permissions, a read-only or broken disk.
    """
    try:
        yield
    except OSError as error:
        raise _disk_error(path, error) from error


def _disk_error(path: Path, error: OSError) -> ModelSourceError:
    if error.errno in _FULL:
        message = f"no space is left for {path}"
        return CacheStorageIsFull(message)
    message = f"{path} cannot be written: {error.strerror or error}"
    return CacheDirectoryIsNotWritable(message)


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a cached file or its beginning.

    `validator` is a strong ETag or a modification date: what `If-Range` takes.
    `total_bytes` None: the server did not say.
    """

    url: str
    validator: str | None
    total_bytes: int | None


class CachedFile:
    """The places of one file in the cache; every method may raise `OSError`."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / name
        self.part_path = directory / f"{name}.part"
        self.record_path = directory / f"{name}.json"
        self.lock_path = directory / f"{name}.lock"

    @staticmethod
    def of_url(directory: Path, url: str, suffix: str) -> CachedFile:
        """The place of what lies behind `url`; `suffix` is what the name ends with."""
        digest = hashlib.sha256(url.encode()).hexdigest()
        return CachedFile(directory, f"{digest}{suffix}")

    def size_bytes(self) -> int | None:
        """Length of the complete file; None if it is not there."""
        return self.path.stat().st_size if self.path.is_file() else None

    def part_bytes(self) -> int:
        """Length of what came so far."""
        return self.part_path.stat().st_size if self.part_path.is_file() else 0

    def read_record(self) -> FileRecord | None:
        """What is known about the file; None if nothing, or nothing readable."""
        try:
            return msgspec.json.decode(self.record_path.read_bytes(), type=FileRecord)
        except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
            return None

    def write_record(self, record: FileRecord) -> None:
        """Remember `record`, atomically."""
        temporary = self.record_path.with_suffix(".json.new")
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.replace(self.record_path)

    def discard(self) -> None:
        """Forget the file and everything known about it."""
        for path in (self.path, self.part_path, self.record_path):
            path.unlink(missing_ok=True)

    def complete(self) -> None:
        """Give the part its final name, durably."""
        with self.part_path.open("rb") as part:
            os.fsync(part.fileno())
        self.part_path.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class FileLock:
    """An advisory lock (`flock`) on a file: one holder on this machine at a time.

    The lock dies with its process. Use with `async with`.

    Args:
        path: The lock file; stays there afterwards.
        wait_s: How long to wait for another holder.
    """

    def __init__(self, path: Path, *, wait_s: float) -> None:
        self._path = path
        self._wait_s = wait_s
        self._fd = -1

    async def __aenter__(self) -> None:
        """Take the lock.

        Raises:
            CacheCannotAcquireLock: Somebody else holds it for longer than `wait_s`.
            CacheDirectoryIsNotWritable: The lock file cannot be made.
        """
        with disk_errors(self._path):
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with trio.move_on_after(self._wait_s):
                # flock tells nobody when a lock becomes free, so it is tried again and again.
                while not self._try():  # noqa: ASYNC110  # there is no event to wait for
                    await trio.sleep(_LOCK_POLL_S)
                return
            message = f"another process holds {self._path}"
            raise CacheCannotAcquireLock(message)
        except BaseException:
            os.close(self._fd)
            raise

    async def __aexit__(self, *exception: object) -> None:
        """Give the lock back."""
        os.close(self._fd)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise _disk_error(self._path, error) from error
        return True
