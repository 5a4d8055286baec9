"""A mailbox that coalesces: the sender never waits, the reader takes all there is.

`async for items in mailbox` takes until the mailbox is closed and empty.

Owned by whoever reads. Under load its batches grow instead of its number of
wake-ups; idle, every item is delivered at once. The bound counts items: past
it `post` raises, and the owner decides what ends (the request, never the link).
"""

from __future__ import annotations

from typing import Generic, Self, TypeVar

import trio

T = TypeVar("T")


class MailboxFull(Exception):
    """The reader has fallen `capacity` items behind."""


class MailboxClosed(Exception):
    """The mailbox is closed and everything in it was taken."""


class Mailbox(Generic[T]):
    """Many senders, one reader, in order.

    Args:
        capacity: Most items held before `post` raises `MailboxFull`.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: list[T] = []
        self._closed = False
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def post(self, item: T) -> None:
        """Append `item`; after `close` it is dropped, as nobody reads any more.

        Raises:
            MailboxFull: `capacity` items wait already.
        """
        if self._closed:
            return
        if len(self._items) >= self._capacity:
            message = f"{self._capacity} items wait to be read"
            raise MailboxFull(message)
        self._items.append(item)
        self._changed.set()

    def close(self) -> None:
        """Let the reader take what is there and then get `MailboxClosed`."""
        self._closed = True
        self._changed.set()

    def close_with(self, item: T) -> None:
        """Append a last item, also past the capacity, and close.

        For the one item that says how it ended; after `close` it is dropped.
        """
        if self._closed:
            return
        self._items.append(item)
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        try:
            return await self.take()
        except MailboxClosed:
            raise StopAsyncIteration from None

    async def take(self) -> list[T]:
        """Wait for at least one item and take all; cancelling loses nothing.

        Raises:
            MailboxClosed: Closed, and empty.
        """
        while not self._items:
            if self._closed:
                raise MailboxClosed
            self._changed = trio.Event()
            await self._changed.wait()
        return self.take_nowait()

    def take_nowait(self) -> list[T]:
        """Take what is there, possibly nothing."""
        items, self._items = self._items, []
        return items
