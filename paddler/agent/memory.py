"""How much host memory conversations may take that are not in a slot."""

from __future__ import annotations

import os
from pathlib import Path

_SHARE = 4
_MOST_BYTES = 8 * 1024**3

_MEMINFO = Path("/proc/meminfo")


def available_memory_bytes(meminfo: Path = _MEMINFO) -> int:
    """Memory that can be had without swapping; on other systems half of what is installed."""
    try:
        for line in meminfo.read_text(encoding="ascii").splitlines():
            key, _, value = line.partition(":")
            if key == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def default_prompt_cache_bytes(available_bytes: int) -> int:
    """A quarter of the available memory, at most 8 GiB."""
    return min(available_bytes // _SHARE, _MOST_BYTES)
