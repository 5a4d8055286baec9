"""The requests of one engine while they run: accepted, cancelled, drained, handed over.

Nursery: `run` owns the slot nursery, where each request is one task. Requests
are accepted without waiting; the engine queues those that find no free slot.
At the bound a request is handed straight back, so that the balancer gives it
to somebody else.

Every request ends in exactly one of these: a terminal event, `HandedOver`, or
silence because nobody waits any more (cancelled, or its link is gone).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

import trio

from paddler.agent.link.outbox import Outbox
from paddler.concurrency.latest import Latest
from paddler.concurrency.mailbox import Mailbox, MailboxFull
from paddler.messages.embeddings import EmbeddingResult
from paddler.messages.generation import TERMINAL_EVENTS, GenerationEvent, GenerationRefused
from paddler.messages.link import Embed, EmbeddingEvents, Generate, HandedOver

__all__ = ["Outlet", "RequestServer", "SlotRequest", "Slots", "hand_back"]

logger = logging.getLogger(__name__)

REQUESTS_PER_SLOT = 4
"""Accepted requests per slot at most. The balancer gives one at a time, but a new one
may arrive before a cancelled or just finished one has unwound here."""


class Outlet:
    """Where one request's events go, until it has ended."""

    def __init__(self, request_id: int, outbox: Outbox, *, is_embedding: bool) -> None:
        self._request_id = request_id
        self._outbox = outbox
        self._is_embedding = is_embedding
        self.ended = False

    def post(self, event: GenerationEvent) -> None:
        """Tell an event of a generation; a terminal one is the last."""
        if self.ended:
            return
        self.ended = isinstance(event, TERMINAL_EVENTS)
        self._outbox.post_event(self._request_id, event)

    def post_embeddings(
        self, results: list[EmbeddingResult], *, done: bool, error: str | None = None
    ) -> None:
        """Tell results of an embedding request; `done` ends it."""
        if self.ended:
            return
        self.ended = done
        self._outbox.post_frame(EmbeddingEvents(self._request_id, results, done, error))

    def fail(self, code: int, message: str) -> None:
        """End the request as failed, whatever its kind."""
        if self._is_embedding:
            self.post_embeddings([], done=True, error=message)
        else:
            self.post(GenerationRefused(code, message))

    def hand_over(self, reason: str) -> None:
        """End the request here; another agent may continue it."""
        if not self.ended:
            self.ended = True
            self._outbox.post_frame(HandedOver([self._request_id], reason))

    def silence(self) -> None:
        """End the request without a word: nobody waits for it."""
        self.ended = True


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SlotRequest:
    """An accepted request: what it asks, where its answer goes, and its life line."""

    frame: Generate | Embed
    outbox: Outbox
    outlet: Outlet
    scope: trio.CancelScope

    @property
    def key(self) -> tuple[int, int]:
        """Unique in this process: request ids are unique within one link only."""
        return id(self.outbox), self.frame.request_id


RequestServer: TypeAlias = Callable[[SlotRequest], Awaitable[None]]


class Slots:
    """The table of running requests.

    Args:
        n_slots: Slots of the engine; bounds what is accepted.
        serve: Runs one request to its end; what it raises ends that request only.
        activity: Set to the number of running requests whenever it changes.
    """

    def __init__(self, n_slots: int, serve: RequestServer, activity: Latest[int]) -> None:
        self._serve = serve
        self._activity = activity
        self._capacity = REQUESTS_PER_SLOT * n_slots
        self._requests: dict[tuple[int, int], SlotRequest] = {}
        self._accepted: Mailbox[SlotRequest] = Mailbox(self._capacity)
        self._refusal: str | None = None

    @property
    def n_running(self) -> int:
        """Requests accepted and not yet unwound."""
        return len(self._requests)

    def accept(self, frame: Generate | Embed, outbox: Outbox) -> None:
        """Take a request, or hand it straight back."""
        if self._refusal is not None:
            hand_back([frame], outbox, self._refusal)
            return
        outlet = Outlet(frame.request_id, outbox, is_embedding=isinstance(frame, Embed))
        request = SlotRequest(frame, outbox, outlet, trio.CancelScope())
        if request.key in self._requests:
            logger.warning("request_id_used_twice request=%d", frame.request_id)
            return
        try:
            if len(self._requests) >= self._capacity:
                raise MailboxFull
            self._accepted.post(request)
        except MailboxFull:
            hand_back([frame], outbox, f"{self._capacity} requests run or wait here already")
            return
        self._requests[request.key] = request
        self._activity.set(len(self._requests))

    def cancel(self, request_id: int, outbox: Outbox) -> None:
        """Nobody waits for the request any more; unknown ones have ended already."""
        request = self._requests.get((id(outbox), request_id))
        if request is not None:
            self._silence(request)

    def cancel_all_of(self, outbox: Outbox) -> None:
        """The link of `outbox` is gone, and with it everybody who waits."""
        for request in list(self._requests.values()):
            if request.outbox is outbox:
                self._silence(request)

    def refuse(self, reason: str) -> None:
        """Hand back every request from now on."""
        self._refusal = reason

    def accept_again(self) -> None:
        """Undo `refuse`."""
        self._refusal = None

    def hand_over_all(self, reason: str) -> None:
        """Stop every request and let another agent continue it."""
        for request in list(self._requests.values()):
            request.outlet.hand_over(reason)
            request.scope.cancel()

    async def wait_idle(self) -> None:
        """Wait until no request is left, not even one that unwinds."""
        while self._requests:
            await self._activity.wait_past(self._activity.version)

    async def run(self, closing: trio.Event) -> None:
        """Run what is accepted until `closing` is set; then cancel what still runs."""
        async with trio.open_nursery() as nursery:

            async def spawn() -> None:
                while True:
                    for request in await self._accepted.take():
                        nursery.start_soon(self._run_one, request)

            nursery.start_soon(spawn)
            await closing.wait()
            nursery.cancel_scope.cancel()

    async def _run_one(self, request: SlotRequest) -> None:
        """The boundary of a request: whatever it raises ends here."""
        try:
            with request.scope:
                await self._serve(request)
        except Exception:
            logger.exception("request_failed request=%d", request.frame.request_id)
            request.outlet.fail(500, "an internal error of the agent")
        finally:
            del self._requests[request.key]
            self._activity.set(len(self._requests))
        if not request.outlet.ended:
            logger.error("request_without_an_end request=%d", request.frame.request_id)
            request.outlet.fail(500, "an internal error of the agent: no answer")

    def _silence(self, request: SlotRequest) -> None:
        request.outlet.silence()
        request.scope.cancel()


def hand_back(frames: Iterable[Generate | Embed], outbox: Outbox, reason: str) -> None:
    """Give requests back that nothing here has touched."""
    outbox.post_frame(HandedOver([frame.request_id for frame in frames], reason))
