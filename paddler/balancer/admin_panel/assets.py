"""The built panel, read into memory once: a few files, some 200 kB together."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

from paddler.balancer.admin_panel.errors import PanelNotBuilt

ASSETS = Path(__file__).with_name("assets")

PAGE = "index.html"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_COMPRESSED = {".html", ".js", ".css", ".svg"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asset:
    """One file. `is_hashed`: its name changes with its content."""

    content: bytes
    compressed: bytes | None
    content_type: str
    etag: str
    is_hashed: bool


def read_assets(directory: Path = ASSETS) -> Mapping[str, Asset]:
    """Every file of the built panel by its path below `directory`.

    Raises:
        PanelNotBuilt: There is no built panel.
    """
    if not (directory / PAGE).is_file():
        raise PanelNotBuilt(directory)
    return {
        path.relative_to(directory).as_posix(): _read(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.suffix in _TYPES
    }


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(
        content=content,
        compressed=(gzip.compress(content, mtime=0) if path.suffix in _COMPRESSED else None),
        content_type=_TYPES[path.suffix],
        etag=f'"{hashlib.sha256(content).hexdigest()[:20]}"',
        is_hashed=path.parent.name == "hashed",
    )
