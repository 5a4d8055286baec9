"""One client's connection: reading, writing, patience, closing.

A connection's nursery holds the reader, the pings of a WebSocket, and the
requests (one at a time). Everything in it ends with the connection.

- Reading goes on while a request is worked on, so that a client that leaves is
  noticed at once, also if it had pipelined another request.
- Writing has a deadline per piece: a client that stops reading or reads a byte
  now and then is cut off. Writes are not shielded; a write that was cut short
  ends the connection, as the client could not make sense of what follows.
- Patience is the time until the client must have done something: sent its
  headers, its next request, or (WebSocket) anything at all.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from typing import cast

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
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
        self._send_lock = trio.Lock()
        self._closing = trio.Event()
        self._gone = trio.Event()
        self._patience = trio.CancelScope()
        self._read_ahead = bytearray()
        self._is_broken = False
        self._is_idle = True
        self._is_stopping = False
        self._is_pinging = False
        self._heard_at = 0.0
        self._n_running = 0
        self._all_ended = trio.Event()

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
                nursery.start_soon(self._read)
                await self._wait_until_done()
                await self._linger()
                nursery.cancel_scope.cancel()
        finally:
            self._stream.socket.close()

    def begin_stop(self) -> None:
        """Close now if no request runs, else after the one that does."""
        self._is_stopping = True
        if self._is_idle:
            self._is_broken = True  # nothing is on its way that would be worth lingering for
            self._closing.set()

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

    async def _wait_until_done(self) -> None:
        deadline = trio.current_time() + self._limits.header_read_timeout_s
        with trio.CancelScope(deadline=deadline) as self._patience:
            await self._closing.wait()
        if self._n_running == 0:
            return
        # The request is told, and given the time to end by itself before it is
        # cancelled.
        self._is_broken = self._is_broken or not self._closing.is_set()
        with trio.move_on_after(self._limits.unwinding_s):
            await self._protocol.handle(Closed())
            await self._all_ended.wait()

    async def _linger(self) -> None:
        """Let the client read the end of what was sent: a reset would destroy it."""
        if self._is_broken or self._gone.is_set():
            return
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            return
        with trio.move_on_after(self._limits.linger_s):
            await self._gone.wait()

    def lose_patience(self) -> None:
        """The client is gone."""
        self._gone.set()
        self._patience.deadline = trio.current_time()

    # Reading

    async def _read(self) -> None:
        while True:
            data = self._take_read_ahead() or await self._receive()
            if self._closing.is_set():
                if not data or self._is_pinging:
                    self._gone.set()  # all was sent, or it is a socket's closing frame
                    return
                continue  # only reading so that the client can finish sending
            if data:
                self._heard_something()
                await self._handle(RawData(data))
                if self._is_pinging and self._closing.is_set():
                    self._gone.set()  # the peer's closing frame: nothing follows it
                continue
            if not self._is_idle:
                self.lose_patience()
            else:
                await self._handle(RawData(b""))
                self._closing.set()
            return

    async def _receive(self) -> bytes:
        """The next bytes; none at the end."""
        try:
            data = bytes(await self._stream.receive_some(_PIECE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            self._gone.set()
        return data

    async def read_ahead(self) -> None:
        """Read while the protocol takes nothing, only to notice that the client leaves."""
        data = await self._receive()
        self._read_ahead += data
        if not data or len(self._read_ahead) > _MAX_READ_AHEAD_BYTES:
            self.lose_patience()
            await trio.sleep_forever()

    def _take_read_ahead(self) -> bytes:
        data = bytes(self._read_ahead)
        self._read_ahead.clear()
        return data

    def _heard_something(self) -> None:
        if self._protocol.is_socket:
            self._heard_at = trio.current_time()
            self._patience.deadline = trio.current_time() + self._limits.socket_silence_s
        elif self._is_idle:
            self._patience.deadline = min(
                self._patience.deadline, trio.current_time() + self._limits.header_read_timeout_s
            )

    async def _ping_when_silent(self) -> None:
        while True:
            ping_at = self._heard_at + self._limits.socket_ping_interval_s
            if trio.current_time() < ping_at:
                await trio.sleep_until(ping_at)
            else:
                await self._protocol.ping()
                await trio.sleep(self._limits.socket_ping_interval_s)

    async def _handle(self, event: Event) -> None:
        try:
            await self._protocol.handle(event)
        except Exception:  # the connection's boundary: a protocol error ends it
            logger.exception("connection_failed")
            self._closing.set()
            return
        if self._protocol.is_socket and not self._is_pinging:
            self._is_pinging = True
            self._heard_something()
            self._nursery.start_soon(self._ping_when_silent)

    # Writing

    async def _obey(self, event: Event) -> None:
        """Do what the protocol says."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            self._closing.set()
        elif isinstance(event, Updated):
            self._is_idle = event.idle
            if not event.idle:
                self._patience.deadline = float("inf")
            elif self._is_stopping:
                self._closing.set()
            else:
                self._patience.deadline = trio.current_time() + self._limits.keep_alive_timeout_s

    async def _write(self, data: bytes) -> None:
        if self._is_broken:
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
                self._is_broken = True
                self.lose_patience()

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
        self._n_running += 1
        self._all_ended = trio.Event()
        self._nursery.start_soon(self._run_app, scope, events, send)
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
            await self._app(scope, events.receive, send)
        except Exception:  # the request's boundary: the client sees a cut connection
            logger.exception("request_failed path=%s", scope.get("path"))
        except BaseExceptionGroup as group:
            # Errors that come together with a cancellation would be lost.
            errors, rest = group.split(Exception)
            if errors is not None:
                logger.error("request_failed path=%s", scope.get("path"), exc_info=errors)
            if rest is not None:
                raise rest from None
        events.end()
        self._n_running -= 1
        if self._n_running == 0:
            self._all_ended.set()
        await send(None)


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
