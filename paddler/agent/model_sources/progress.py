"""How a download tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from paddler.messages.link import Download

DownloadReporter: TypeAlias = Callable[[Download], None]
"""Called from the Trio thread, as often as the source likes."""


def progress_of(filename: str, current_bytes: int, total_bytes: int | None) -> Download:
    """Bytes so far; a total that is not known, or already passed, makes it indeterminate."""
    determinate = total_bytes is not None and total_bytes >= current_bytes
    return Download(
        filename=filename,
        current_bytes=current_bytes,
        total_bytes=total_bytes if determinate and total_bytes is not None else 0,
        indeterminate=not determinate,
    )
