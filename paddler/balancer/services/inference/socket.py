"""The inference socket: many requests over one WebSocket.

A socket's nursery holds its reader, its writer, a watcher of the fleet, and
one order per request; when the socket closes, half closes or falls silent, all
of them end and their slots are free. Only the writer sends, so that a request
that is cancelled never leaves half a frame behind.
"""

from __future__ import annotations

import functools
import logging

import trio

from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.http_edge.error_table import status_of
from paddler.balancer.http_edge.errors import SocketClosed
from paddler.balancer.http_edge.sockets import Socket
from paddler.balancer.requests.generations import Generations
from paddler.balancer.requests.items import GenerationItem, GenerationStart
from paddler.balancer.services.inference.limits import InferenceLimits
from paddler.balancer.services.inference.ndjson import GenerationEncoder, error_envelope
from paddler.balancer.services.inference.socket_frames import (
    SocketNotification,
    SocketRequest,
    decode_frame,
    readable_request_id,
)
from paddler.balancer.services.inference.translation import generation_order
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.decoding import MalformedMessage

logger = logging.getLogger(__name__)

_NOTIFICATIONS = {
    True: b'{"Notification":"TokenGenerationEnabled"}',
    False: b'{"Notification":"TokenGenerationDisabled"}',
}


class InferenceSocket:
    """Serves one socket until its client leaves or the service stops.

    Args:
        socket: The open WebSocket.
        generations: Runs the requests.
        fleet: Tells when generation becomes possible or impossible.
        limits: Requests at once, items a request may be behind.
    """

    def __init__(
        self, socket: Socket, *, generations: Generations, fleet: Fleet, limits: InferenceLimits
    ) -> None:
        self._socket = socket
        self._generations = generations
        self._fleet = fleet
        self._limits = limits
        self._in_flight: dict[str, trio.CancelScope] = {}
        self._all_ended = trio.Event()
        # Rendezvous: a request waits here while the client does not read, and
        # what arrives for it meanwhile becomes part of its next frame.
        self._frames_in, self._frames_out = trio.open_memory_channel[list[bytes]](0)

    async def run(self) -> None:
        """Serve; returns once the client is gone, or the service stops and all were told."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, nursery.cancel_scope)
            nursery.start_soon(self._tell_of_fleet)
            nursery.start_soon(self._read, nursery)
            nursery.start_soon(self._cancel_when_gone, nursery.cancel_scope)
            await self._socket.stopping.wait()
            if self._in_flight:
                await self._all_ended.wait()
            nursery.cancel_scope.cancel()

    async def _cancel_when_gone(self, scope: trio.CancelScope) -> None:
        await self._socket.gone.wait()  # also while the reader waits for the writer
        scope.cancel()

    async def _read(self, nursery: trio.Nursery) -> None:
        try:
            while True:
                frame = await self._socket.receive()
                try:
                    message = decode_frame(frame)
                except MalformedMessage as error:
                    envelope = error_envelope(readable_request_id(frame), 400, str(error))
                    await self._frames_in.send([envelope])
                    continue
                if isinstance(message, SocketNotification):
                    self._stop_responding_to(message.stop_responding_to)
                else:
                    await self._begin(message, nursery)
        except SocketClosed:
            nursery.cancel_scope.cancel()

    def _stop_responding_to(self, request_id: str) -> None:
        scope = self._in_flight.get(request_id)
        if scope is not None:
            scope.cancel()

    async def _begin(self, request: SocketRequest, nursery: trio.Nursery) -> None:
        refusal = None
        if request.id in self._in_flight:
            refusal = error_envelope(
                request.id, 400, f"a request with the id {request.id} is in flight already"
            )
        elif len(self._in_flight) >= self._limits.max_requests_per_socket:
            refusal = error_envelope(
                request.id,
                503,
                f"{self._limits.max_requests_per_socket} requests are in flight on this socket, "
                "more are not allowed",
            )
        if refusal is not None:
            await self._frames_in.send([refusal])
            return
        scope = trio.CancelScope()
        self._in_flight[request.id] = scope
        nursery.start_soon(self._respond, request, scope)

    async def _respond(self, request: SocketRequest, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await self._generate(request)
        finally:
            del self._in_flight[request.id]
            if not self._in_flight and self._socket.stopping.is_set():
                self._all_ended.set()

    async def _generate(self, request: SocketRequest) -> None:
        outbox: Mailbox[GenerationItem] = Mailbox(self._limits.max_waiting_items)
        asked = request.request.asked
        async with trio.open_nursery() as nursery:
            try:
                order = generation_order(asked, self._limits)
                run = functools.partial(self._generations.run, request_id=request.id)
                start: GenerationStart = await nursery.start(run, order, outbox)
            except Exception as error:  # the request's boundary: converted, logged if unknown
                await self._frames_in.send([self._refusal(request.id, error)])
                return
            encoder = GenerationEncoder(
                request.id, start, include_timings=bool(asked.include_timings)
            )
            async for items in outbox:
                if frames := encoder.encode(items):
                    await self._frames_in.send(frames)

    def _refusal(self, request_id: str, error: Exception) -> bytes:
        status = status_of(error)
        if status is None:
            logger.error("request_failed request=%s", request_id, exc_info=error)
            return error_envelope(request_id, 500, "internal error")
        return error_envelope(request_id, status, str(error))

    async def _write(self, socket_scope: trio.CancelScope) -> None:
        try:
            while True:
                for frame in await self._frames_out.receive():
                    await self._socket.send(frame.decode())
        except SocketClosed:
            socket_scope.cancel()

    async def _tell_of_fleet(self) -> None:
        possible = self._fleet.generation_possible
        told, seen = possible.value, possible.version
        while True:
            seen = await possible.wait_past(seen)
            if possible.value != told:
                told = possible.value
                await self._frames_in.send([_NOTIFICATIONS[told]])
