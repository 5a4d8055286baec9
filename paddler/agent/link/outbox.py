"""What waits to be written to one link, and turns into as few frames as possible.

Owned by the link's writer; any task of the agent posts, none waits. All events
posted between two writes leave as one `EventBatch`, so that a link slower than
the engine makes frames larger instead of queues longer. The bound counts what
was posted and not yet taken: at it the link is as good as dead, and ends.

One outbox belongs to one link: what is posted after the link ended is dropped.
"""

from __future__ import annotations

from typing import Self, TypeAlias

import trio

from paddler.concurrency.mailbox import Mailbox, MailboxFull
from paddler.messages.generation import GenerationEvent
from paddler.messages.link import (
    AgentStatus,
    Answered,
    CacheReport,
    EmbeddingEvents,
    EventBatch,
    FromAgent,
    HandedOver,
    Heartbeat,
    Leaving,
    LoadReport,
    RequestEvents,
)

__all__ = ["Outbox"]

PlainFrame: TypeAlias = (
    AgentStatus
    | Answered
    | CacheReport
    | EmbeddingEvents
    | HandedOver
    | Heartbeat
    | Leaving
    | LoadReport
)
Item: TypeAlias = PlainFrame | tuple[int, GenerationEvent]


class Outbox:
    """Frames for one link, in order; `async for frames in outbox` ends after `close`.

    Args:
        capacity: Most items held; past it `overflowed` is set and the link ends.
    """

    def __init__(self, capacity: int) -> None:
        self._items: Mailbox[Item] = Mailbox(capacity)
        self.overflowed = trio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[FromAgent]:
        return _frames(await anext(self._items))

    def post_event(self, request_id: int, event: GenerationEvent) -> None:
        """Tell what a request has to tell."""
        self._post((request_id, event))

    def post_frame(self, frame: PlainFrame) -> None:
        """Tell something that is a frame of its own."""
        self._post(frame)

    def close(self) -> None:
        """Let the writer take what is there and then end."""
        self._items.close()

    def discard(self) -> None:
        """The link is gone: drop what is there and what still comes."""
        self._items.take_nowait()
        self._items.close()

    async def take(self) -> list[FromAgent]:
        """Wait for something to send and take all of it as frames.

        Raises:
            MailboxClosed: Closed, and empty.
        """
        return _frames(await self._items.take())

    def _post(self, item: Item) -> None:
        try:
            self._items.post(item)
        except MailboxFull:
            self.overflowed.set()


def _frames(items: list[Item]) -> list[FromAgent]:
    """Merge neighbouring events; a frame of another kind keeps its place among them."""
    frames: list[FromAgent] = []
    events: dict[int, list[GenerationEvent]] = {}
    for item in items:
        if isinstance(item, tuple):
            request_id, event = item
            events.setdefault(request_id, []).append(event)
            continue
        if events:
            frames.append(_batch(events))
            events = {}
        frames.append(item)
    if events:
        frames.append(_batch(events))
    return frames


def _batch(events: dict[int, list[GenerationEvent]]) -> EventBatch:
    return EventBatch([RequestEvents(request_id, of_one) for request_id, of_one in events.items()])
