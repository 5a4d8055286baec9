"""A state database in one JSON file, replaced atomically and durably.

Owns the file's format. A save is complete on disk before `save` returns, and
whenever the process dies, the file holds either the old or the new state.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, Literal

import msgspec
import trio

from paddler.balancer.state_database.errors import DatabaseUnparsable, DatabaseUnusable
from paddler.messages.decoding import MalformedMessage, decode_json
from paddler.messages.state import DesiredState

FORMAT_VERSION: Final = "1"


class StateFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's content."""

    balancer_desired_state: DesiredState
    version: Literal["1"]


class FileStateDatabase:
    """Keeps the state in the file at `path`.

    A save that is cancelled is finished by its worker thread first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saving = trio.Lock()

    async def load(self) -> DesiredState:
        """The state in the file; a missing or empty file is made with the defaults.

        Raises:
            DatabaseUnparsable: The file holds something else.
            DatabaseUnusable: The file cannot be read or made.
        """
        content = await trio.to_thread.run_sync(_read, self._path)
        if not content.strip():
            state = DesiredState()
            await self.save(state)
            return state
        try:
            return decode_json(content, StateFile).balancer_desired_state
        except MalformedMessage as error:
            message = f"the state database {self._path} cannot be used as it is: {error}"
            raise DatabaseUnparsable(message) from None

    async def save(self, state: DesiredState) -> None:
        """Replace the file's content by `state`, on disk when this returns.

        Raises:
            DatabaseUnusable: The operating system refuses; the old content stays.
        """
        document = StateFile(balancer_desired_state=state, version=FORMAT_VERSION)
        content = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
        async with self._saving:
            await trio.to_thread.run_sync(_replace, self._path, content)


def _read(path: Path) -> bytes:
    try:
        _temporary(path).unlink(missing_ok=True)
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        message = f"the state database {path} cannot be read: {error.strerror}"
        raise DatabaseUnusable(message) from error


def _temporary(path: Path) -> Path:
    """Always the same name, so that a killed process leaves one file at most."""
    target = path.resolve()
    return target.with_name(f".{target.name}.tmp")


def _replace(path: Path, content: bytes) -> None:
    try:
        target = path.resolve()
        temporary = _temporary(path)
        try:
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        message = f"the state database {path} cannot be written: {error.strerror}"
        raise DatabaseUnusable(message) from error
