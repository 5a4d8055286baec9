"""One client's connection: reading, writing, patience, closing.

What it does next is `connection_states`' to say; here is what that takes. Its
nursery holds the reader and the pings of a WebSocket; a second one inside it
holds the requests (one at a time), which are told when the connection closes
and get a moment to end by themselves. Everything ends with the connection.

- Reading goes on while a request is worked on, so that a client that leaves is
  noticed at once, also if it had pipelined another request.
- Writing has a deadline per piece: a client that stops reading or reads a byte
  now and then is cut off. Writes are not shielded.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from typing import cast

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as ProtocolEvent
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    AppWrapper,
    ASGIFramework,
    ASGIReceiveEvent,
    ASGISendEvent,
    ConnectionState,
    Scope,
    TaskGroup,
)
from hypercorn.utils import parse_socket_addr

from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.serving.app_events import AppEvents
from paddler.balancer.http_edge.serving.connection_states import (
    ENDING,
    READING,
    TRANSITIONS,
    Event,
    State,
    patience_s,
)
from paddler.balancer.http_edge.serving.protocol import EdgeProtocol

logger = logging.getLogger(__name__)

_PIECE_BYTES = 64 * 1024
_MAX_READ_AHEAD_BYTES = 256 * 1024
"""What a client may send beyond the request that is being answered."""


class Connection:
    """Serves one accepted stream with `app` until either side is done.

    Args:
        stream: The accepted connection; closed when `run` returns.
        app: The ASGI application.
        config: hypercorn's configuration.
        context: hypercorn's record of whether the server stops.
        limits: Deadlines.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        *,
        app: ASGIFramework,
        config: Config,
        context: WorkerContext,
        limits: EdgeLimits,
    ) -> None:
        self._stream = stream
        self._app = app
        self._config = config
        self._context = context
        self._limits = limits
        self._state = State.HEAD
        self._patience = trio.CancelScope(deadline=self._deadline_of(State.HEAD))
        self._ending = trio.Event()
        self._over = trio.Event()
        self._heard_at = 0.0
        self._read_ahead = bytearray()
        self._send_lock = trio.Lock()

    async def run(self) -> None:
        """Serve until the connection is closed; raises nothing but cancellation."""
        try:
            self._protocol = self._make_protocol()
        except OSError:  # the client was gone before it could be asked who it is
            self._stream.socket.close()
            return
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                async with trio.open_nursery() as requests:
                    self._requests = requests
                    nursery.start_soon(self._read)
                    await self._until(self._ending)
                    if requests.child_tasks:
                        unwound_by = trio.current_time() + self._limits.unwinding_s
                        requests.cancel_scope.deadline = unwound_by
                        await self._handle(Closed())
                self._step(Event.UNWOUND)
                if self._state is State.LINGERING:
                    await self._close_our_end()
                    await self._until(self._over)
                nursery.cancel_scope.cancel()
        finally:
            self._stream.socket.close()

    def begin_stop(self) -> None:
        """Close now if no request runs, else after the one that does."""
        self._step(Event.STOP)

    def _make_protocol(self) -> EdgeProtocol:
        socket = self._stream.socket
        protocol = EdgeProtocol(
            cast("AppWrapper", self._app),
            self._config,
            self._context,
            cast("TaskGroup", self),
            ConnectionState({}),
            False,
            parse_socket_addr(socket.family, socket.getpeername()),
            parse_socket_addr(socket.family, socket.getsockname()),
            self._obey,
        )
        protocol.can_read = _ReadGate(self)
        return protocol

    def _step(self, event: Event) -> None:
        state = TRANSITIONS[self._state].get(event)
        if state is None:
            return
        self._state = state
        self._patience.deadline = self._deadline_of(state)
        if state in ENDING:
            self._ending.set()
        if state is State.OVER:
            self._over.set()

    def _deadline_of(self, state: State) -> float:
        return trio.current_time() + patience_s(state, self._limits)

    async def _until(self, ended: trio.Event) -> None:
        """Wait for `ended`, losing patience with a client that lets a state's time pass."""
        while not ended.is_set():
            with trio.CancelScope(deadline=self._patience.deadline) as self._patience:
                await ended.wait()
            if trio.current_time() >= self._patience.deadline:
                self._step(Event.SILENT)

    async def _close_our_end(self) -> None:
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            self._step(Event.CUT)

    # Reading

    async def _read(self) -> None:
        while data := self._take_read_ahead() or await self._receive():
            self._heard_at = trio.current_time()
            self._step(Event.HEARD)
            if self._state not in ENDING:
                await self._handle(RawData(data))
            if self._protocol.is_socket and self._state in ENDING:
                self._step(Event.HUNG_UP)  # its closing frame: nothing follows it
        if self._state in READING:
            await self._handle(RawData(b""))
        self._step(Event.HUNG_UP)

    async def _receive(self) -> bytes:
        """The next bytes; none at the end."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            return bytes(await self._stream.receive_some(_PIECE_BYTES))
        return b""

    async def read_ahead(self) -> None:
        """Read while the protocol takes nothing, only to notice that the client leaves."""
        data = await self._receive()
        self._read_ahead += data
        if data and len(self._read_ahead) <= _MAX_READ_AHEAD_BYTES:
            return
        self._step(Event.CUT if data else Event.HUNG_UP)
        await trio.sleep_forever()

    def _take_read_ahead(self) -> bytes:
        data = bytes(self._read_ahead)
        self._read_ahead.clear()
        return data

    async def _ping_when_silent(self) -> None:
        while True:
            ping_at = self._heard_at + self._limits.socket_ping_interval_s
            if trio.current_time() < ping_at:
                await trio.sleep_until(ping_at)
            else:
                await self._protocol.ping()
                await trio.sleep(self._limits.socket_ping_interval_s)

    async def _handle(self, event: ProtocolEvent) -> None:
        try:
            await self._protocol.handle(event)
        except Exception:  # the connection's boundary: a protocol error ends it
            logger.exception("connection_failed")
            self._step(Event.CLOSED)
            return
        if self._protocol.is_socket and self._state in (State.ANSWERING, State.LAST):
            self._step(Event.UPGRADE)
            self._nursery.start_soon(self._ping_when_silent)

    # Writing

    async def _obey(self, event: ProtocolEvent) -> None:
        """Do what the protocol says."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            self._step(Event.CLOSED)
        elif isinstance(event, Updated):
            self._step(Event.ANSWERED if event.idle else Event.REQUEST)

    async def _write(self, data: bytes) -> None:
        if self._state is State.OVER:
            await trio.lowlevel.checkpoint()
            return
        try:
            self._send_lock.acquire_nowait()
        except trio.WouldBlock:
            await self._send_lock.acquire()
        is_whole = False
        try:
            if len(data) <= _PIECE_BYTES:
                await self._write_piece(data)
            else:
                view = memoryview(data)
                for start in range(0, len(data), _PIECE_BYTES):
                    await self._write_piece(view[start : start + _PIECE_BYTES])
            is_whole = True
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except trio.TooSlowError:
            logger.info("client_cut_off reason=reads_too_slowly")
        finally:
            self._send_lock.release()
            if not is_whole:
                self._step(Event.CUT)

    async def _write_piece(self, piece: bytes | memoryview) -> None:
        # Nearly every write fits the kernel's buffer; for those, Trio's way
        # there would cost more than the write itself.
        try:
            n_written = os.write(self._stream.socket.fileno(), piece)
        except BlockingIOError:
            n_written = 0
        except OSError as error:
            raise trio.BrokenResourceError from error
        if n_written == len(piece):
            return
        with trio.fail_after(self._limits.write_timeout_s):
            await self._stream.send_all(memoryview(piece)[n_written:])

    # hypercorn's TaskGroup

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Start a request; returns where to put what arrives for it."""
        events = AppEvents()
        if self._state in ENDING:  # it was pipelined, and the connection ended meanwhile
            events.end()
        else:
            self._requests.start_soon(self._run_app, scope, events, send)
        return events.put

    def spawn(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Start something that lives as long as the connection."""
        self._nursery.start_soon(work, *arguments)

    async def _run_app(
        self,
        scope: Scope,
        events: AppEvents,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> None:
        try:
            try:
                await self._app(scope, events.receive, send)
            finally:
                events.end()
        except Exception:  # the request's boundary: the client sees a cut connection
            logger.exception("request_failed path=%s", scope.get("path"))
        except BaseExceptionGroup as group:
            # Errors that come together with a cancellation would be lost.
            errors, rest = group.split(Exception)
            if errors is not None:
                logger.error("request_failed path=%s", scope.get("path"), exc_info=errors)
            if rest is not None:
                raise rest from None
        try:
            await send(None)
        except Exception:  # the same for the protocol's end of it
            logger.exception("connection_failed path=%s", scope.get("path"))
            self._step(Event.CLOSED)


class _ReadGate:
    """Where hypercorn waits for a request to end before it handles the next one.

    While it waits, the connection is watched.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_open = False
        self._wait = trio.CancelScope()

    async def clear(self) -> None:
        self._is_open = False

    async def set(self) -> None:
        self._is_open = True
        self._wait.cancel()

    def is_set(self) -> bool:
        return self._is_open

    async def wait(self) -> None:
        with trio.CancelScope() as self._wait:
            while not self._is_open:
                await self._connection.read_ahead()
