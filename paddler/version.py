"""The installed version of Paddler."""

from __future__ import annotations

import importlib.metadata


def paddler_version() -> str:
    """The version of the installed distribution; `0+source` for a bare source tree."""
    try:
        return importlib.metadata.version("paddler")
    except importlib.metadata.PackageNotFoundError:
        return "0+source"
