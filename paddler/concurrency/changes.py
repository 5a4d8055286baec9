"""A count of changes, broadcast to any number of watchers.

A watcher that is slow sees several changes as one; it never misses the last.
"""

from __future__ import annotations

import trio


class Changes:
    """Tells watchers that something changed; they look for themselves what it is now."""

    def __init__(self) -> None:
        self._version = 0
        self._changed = trio.Event()

    @property
    def version(self) -> int:
        """Grows by one with every change."""
        return self._version

    def note(self) -> None:
        """Count a change and wake all watchers."""
        self._version += 1
        self._changed.set()
        self._changed = trio.Event()

    async def wait_past(self, version: int) -> int:
        """Wait until the version is above `version` and return it."""
        while self._version <= version:
            await self._changed.wait()
        return self._version
