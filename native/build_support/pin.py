"""The pinned llama.cpp source: native/llama_cpp.lock."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One file of one package, known by its hash."""

    package: str
    version: str
    filename: str
    sha256: str
    size_bytes: int


def read_pin(path: Path) -> Pin:
    """Reads the lock file."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    return Pin(
        package=str(values["package"]),
        version=str(values["version"]),
        filename=str(values["filename"]),
        sha256=str(values["sha256"]),
        size_bytes=int(values["size_bytes"]),
    )
