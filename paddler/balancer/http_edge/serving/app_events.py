"""What arrives for one request, on its way from the connection to the application."""

from __future__ import annotations

import collections

import trio
from hypercorn.typing import ASGIReceiveEvent

MAX_WAITING_EVENTS = 64


class AppEvents:
    """A queue with one sender and one receiver; a full one makes the sender wait.

    What came together is received without a checkpoint in between: with one
    scheduler pass per message, an agent's link would be slower than its agent.
    """

    def __init__(self) -> None:
        self._events: collections.deque[ASGIReceiveEvent] = collections.deque()
        self._has_ended = False
        self._arrived = trio.Event()
        self._has_room = trio.Event()

    async def put(self, event: ASGIReceiveEvent) -> None:
        """Append `event`; dropped if the request has ended."""
        while len(self._events) >= MAX_WAITING_EVENTS and not self._has_ended:
            self._has_room = trio.Event()
            await self._has_room.wait()
        if not self._has_ended:
            self._events.append(event)
            self._arrived.set()

    async def receive(self) -> ASGIReceiveEvent:
        """Wait for the next event."""
        while not self._events:
            self._arrived = trio.Event()
            await self._arrived.wait()
        event = self._events.popleft()
        self._has_room.set()
        return event

    def end(self) -> None:
        """The request is over: nothing is received any more."""
        self._has_ended = True
        self._events.clear()
        self._has_room.set()
