"""What ends a build; each is one sentence that tells what to do."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class BuildError(Exception):
    """The build cannot go on; the text is meant for the person who started it."""


@contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    """Turns a full or unwritable disk into a BuildError that names `directory`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(directory) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise BuildError(
                f"{directory} cannot be written ({error.strerror}): "
                "point PADDLER_CACHE_DIR at a directory that can."
            ) from error
        raise


def disk_full(directory: Path) -> BuildError:
    """The error for a disk without room."""
    return BuildError(
        f"The disk that holds {directory} is full: free about 1 GB, "
        "or point PADDLER_CACHE_DIR at another disk."
    )
