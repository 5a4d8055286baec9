"""The link to the balancer: dials, introduces the agent, and dials again for ever.

Nurseries: `run` owns none; each connection has one with four tasks (reader,
writer, keep-alive, status reporter), and when any of them ends, the link ends.
The reader only decodes and hands over, so that pings are always answered;
whoever takes the frames must not wait. Every write has a deadline.

The link knows frames and WebSockets. What the frames ask for is the business
of its `LinkHandler`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import trio
import trio_websocket

from paddler.agent.errors import LinkLost, LinkProtocol, LinkRefused
from paddler.agent.link.dialer import Dialer
from paddler.agent.link.outbox import Outbox
from paddler.agent.settings import AgentSettings
from paddler.concurrency.backoff import Backoff
from paddler.concurrency.latest import Latest
from paddler.messages.link import (
    AgentStatus,
    ApplyState,
    Ask,
    CancelRequest,
    Embed,
    FromAgent,
    Generate,
    Heartbeat,
    Hello,
    Refused,
    ToAgent,
    Welcome,
)

__all__ = ["Link", "LinkHandler"]

logger = logging.getLogger(__name__)


class LinkHandler(Protocol):
    """Who acts on what the balancer asks; none of these may wait."""

    def link_opened(self, outbox: Outbox) -> None:
        """The balancer welcomed the agent; `outbox` reaches it until `link_closed`."""

    def frame_received(
        self,
        frame: ApplyState | Generate | Embed | CancelRequest | Ask,
        outbox: Outbox,
    ) -> None:
        """The balancer asks for something; answers go to `outbox`."""

    def link_closed(self, outbox: Outbox) -> None:
        """The link of `outbox` is gone: nobody waits for its requests any more."""


class Link:
    """Keeps one connection to the balancer for as long as the agent lives.

    Args:
        settings: Deadlines and waiting times.
        hello: What is sent first on a connection.
        handler: Acts on the balancer's frames.
        status: Reported now and after every change.
        dial: Opens a connection.
        random_source: Jitter of the waiting times between connections.
    """

    def __init__(
        self,
        settings: AgentSettings,
        *,
        hello: Callable[[], Hello],
        handler: LinkHandler,
        status: Latest[AgentStatus],
        dial: Dialer,
        random_source: random.Random,
    ) -> None:
        self._settings = settings
        self._hello = hello
        self._handler = handler
        self._status = status
        self._dial = dial
        self._backoff = Backoff(
            first_s=settings.reconnect_first_s,
            longest_s=settings.reconnect_longest_s,
            random_source=random_source,
        )
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(ToAgent)
        self._closing = False
        self._close_asked = trio.Event()
        self._outbox: Outbox | None = None

    def close(self) -> None:
        """Write what waits, close the connection and let `run` return."""
        self._closing = True
        self._close_asked.set()
        if self._outbox is not None:
            self._outbox.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, serve the connection, connect again; returns only after `close`."""
        task_status.started()
        while not self._closing:
            ending = await self._connect_and_serve()
            if self._closing:
                break
            _log_ending(ending)
            wait_s = self._backoff.next_s()
            logger.info("link_waits seconds=%.2f", wait_s)
            with trio.move_on_after(wait_s):
                await self._close_asked.wait()

    async def _connect_and_serve(self) -> Exception | None:
        """One connection from dialling to its end; what ended it, if anything did."""
        ending: Exception | None = None
        async with trio.open_nursery() as nursery:
            watch_scope = trio.CancelScope()

            async def give_up_when_asked() -> None:
                with watch_scope:
                    await self._close_asked.wait()
                    nursery.cancel_scope.cancel()

            nursery.start_soon(give_up_when_asked)
            try:
                async with self._dial() as connection:
                    ending = await self._serve(connection, introduced=watch_scope.cancel)
            except (trio_websocket.HandshakeError, trio_websocket.ConnectionClosed) as error:
                # A connection that ended badly may also close badly.
                ending = ending or error
            watch_scope.cancel()
        return ending

    async def _serve(
        self,
        connection: trio_websocket.WebSocketConnection,
        *,
        introduced: Callable[[], None],
    ) -> LinkLost | None:
        """Introduce the agent, then run the connection until it ends, and say why it did.

        After `introduced` was called, `close` ends the connection in order.
        """
        try:
            await self._introduce(connection)
        except LinkLost as lost:
            return lost
        introduced()
        self._backoff.reset()
        outbox = self._outbox = Outbox(self._settings.outbox_items)
        if self._closing:
            outbox.close()
        endings: list[LinkLost] = []
        self._handler.link_opened(outbox)
        try:
            async with trio.open_nursery() as nursery:

                async def until_it_ends(part: Callable[[], Awaitable[None]]) -> None:
                    try:
                        await part()
                    except LinkLost as lost:
                        endings.append(lost)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until_it_ends, lambda: self._read(connection, outbox))
                nursery.start_soon(until_it_ends, lambda: self._write(connection, outbox))
                nursery.start_soon(until_it_ends, lambda: self._keep_alive(connection))
                nursery.start_soon(self._report_status, outbox)
        finally:
            self._outbox = None
            outbox.discard()
            self._handler.link_closed(outbox)
        return endings[0] if endings else None

    async def _introduce(self, connection: trio_websocket.WebSocketConnection) -> None:
        await self._send(connection, self._hello())
        with trio.move_on_after(self._settings.welcome_timeout_s):
            answer = await self._receive(connection)
            match answer:
                case Welcome(balancer_version):
                    logger.info("link_opened balancer_version=%s", balancer_version)
                    return
                case Refused(reason):
                    raise LinkRefused(reason)
                case _:
                    message = f"the balancer sent {type(answer).__name__} before its welcome"
                    raise LinkProtocol(message)
        message = f"the balancer did not answer within {self._settings.welcome_timeout_s:g} s"
        raise LinkLost(message)

    async def _read(self, connection: trio_websocket.WebSocketConnection, outbox: Outbox) -> None:
        while True:
            frame = await self._receive(connection)
            match frame:
                case Refused(reason):
                    raise LinkRefused(reason)
                case Welcome():
                    message = "the balancer welcomed the agent twice"
                    raise LinkProtocol(message)
                case Heartbeat():
                    outbox.post_frame(frame)
                case _:
                    self._handler.frame_received(frame, outbox)

    async def _write(self, connection: trio_websocket.WebSocketConnection, outbox: Outbox) -> None:
        async for frames in outbox:
            for frame in frames:
                await self._send(connection, frame)
            if outbox.overflowed.is_set():
                message = f"{self._settings.outbox_items} frames waited to be written"
                raise LinkLost(message)

    async def _keep_alive(self, connection: trio_websocket.WebSocketConnection) -> None:
        while True:
            await trio.sleep(self._settings.ping_interval_s)
            with trio.move_on_after(self._settings.ping_timeout_s) as deadline:
                try:
                    await connection.ping()
                except trio_websocket.ConnectionClosed as closed:
                    raise LinkLost(_describe(closed)) from None
            if deadline.cancelled_caught:
                message = f"the balancer was silent for {self._settings.ping_timeout_s:g} s"
                raise LinkLost(message)

    async def _report_status(self, outbox: Outbox) -> None:
        """Send the status now and after every change; progress only every so often."""
        seen = -1
        sent: AgentStatus | None = None
        while True:
            seen = await self._status.wait_past(seen)
            status = self._status.value
            with trio.move_on_after(self._settings.download_report_interval_s):
                while sent is not None and _only_progress_differs(sent, status):
                    seen = await self._status.wait_past(seen)
                    status = self._status.value
            if status != sent:
                outbox.post_frame(status)
                sent = status

    async def _send(self, connection: trio_websocket.WebSocketConnection, frame: FromAgent) -> None:
        encoded = self._encoder.encode(frame)
        with trio.move_on_after(self._settings.write_timeout_s) as deadline:
            try:
                await connection.send_message(encoded)
            except trio_websocket.ConnectionClosed as closed:
                raise LinkLost(_describe(closed)) from None
        if deadline.cancelled_caught:
            message = f"the balancer read nothing for {self._settings.write_timeout_s:g} s"
            raise LinkLost(message)

    async def _receive(self, connection: trio_websocket.WebSocketConnection) -> ToAgent:
        try:
            message = await connection.get_message()
        except trio_websocket.ConnectionClosed as closed:
            raise LinkLost(_describe(closed)) from None
        if isinstance(message, str):
            text = "the balancer sent a text frame"
            raise LinkProtocol(text)
        try:
            frame: ToAgent = self._decoder.decode(message)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            text = f"the balancer sent a frame that does not decode: {error}"
            raise LinkProtocol(text) from None
        return frame


def _only_progress_differs(sent: AgentStatus, status: AgentStatus) -> bool:
    return (
        sent.download is not None
        and status.download is not None
        and msgspec.structs.replace(sent, download=status.download) == status
    )


def _log_ending(ending: Exception | None) -> None:
    match ending:
        case None:
            logger.info("link_closed")
        case LinkRefused():
            logger.error("link_refused reason=%r", str(ending))
        case LinkLost():
            logger.warning("link_lost reason=%r", str(ending))
        case _:
            logger.warning("link_not_opened reason=%r", _describe(ending))


def _describe(error: Exception) -> str:
    match error:
        case trio_websocket.ConnectionClosed():
            if error.reason is None:
                return "the connection broke"
            said = f": {error.reason.reason}" if error.reason.reason else ""
            return f"the connection was closed with code {error.reason.code}{said}"
        case trio_websocket.ConnectionRejected(status_code=status):
            return f"the balancer answered with HTTP status {status}"
        case trio_websocket.ConnectionTimeout():
            return "the balancer did not answer in time"
        case _:
            return str(error.__cause__ or error) or type(error).__name__
