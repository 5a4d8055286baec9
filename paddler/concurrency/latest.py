"""The latest value of something, broadcast to any number of watchers.

A watcher that is slow skips values; it never misses the last one.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from paddler.concurrency.changes import Changes

T = TypeVar("T")


class Latest(Changes, Generic[T]):
    """Holds one value, and counts how often it was set."""

    def __init__(self, value: T) -> None:
        super().__init__()
        self._value = value

    @property
    def value(self) -> T:
        """The value now."""
        return self._value

    def set(self, value: T) -> None:
        """Replace the value and wake all watchers."""
        self._value = value
        self.note()
