"""The latest value of something, broadcast to any number of watchers.

A watcher that is slow skips values; it never misses the last one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds one value; whoever watches sees every change it is fast enough for."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._version = 0
        self._changed = trio.Event()

    @property
    def value(self) -> T:
        """The value now."""
        return self._value

    @property
    def version(self) -> int:
        """Grows by one with every `set`."""
        return self._version

    def set(self, value: T) -> None:
        """Replace the value and wake all watchers."""
        self._value = value
        self._version += 1
        self._changed.set()
        self._changed = trio.Event()

    async def wait_past(self, version: int) -> int:
        """Wait until the version is above `version` and return it."""
        while self._version <= version:
            await self._changed.wait()
        return self._version

    async def watch(self) -> AsyncGenerator[T, None]:
        """Yield the value now and after every change, for ever.

        Yields outside of any cancel scope or nursery of its own; close it with
        `contextlib.aclosing` when leaving early.
        """
        seen = self._version - 1
        while True:
            seen = await self.wait_past(seen)
            yield self._value
