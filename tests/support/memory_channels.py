"""Two ends of a link in memory, as `FrameChannel`s."""

from __future__ import annotations

import math

import trio

from paddler.balancer.fleet.channel import ChannelClosed


class MemoryChannel:
    """One end; frames arrive in order, and a full buffer makes `send` wait."""

    def __init__(
        self,
        outgoing: trio.MemorySendChannel[bytes],
        incoming: trio.MemoryReceiveChannel[bytes],
    ) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self.close_reason: str | None = None
        self.closed = trio.Event()

    async def send(self, frame: bytes) -> None:
        try:
            await self._outgoing.send(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            message = "the connection broke"
            raise ChannelClosed(message) from None

    async def receive(self) -> bytes:
        try:
            return await self._incoming.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            message = "the connection broke"
            raise ChannelClosed(message) from None

    async def close(self, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.close_reason is None:
            self.close_reason = reason
        self.closed.set()
        self._outgoing.close()
        self._incoming.close()


def channel_pair(n_frames: float = math.inf) -> tuple[MemoryChannel, MemoryChannel]:
    """Two connected ends, with room for `n_frames` frames each way."""
    send_a, receive_a = trio.open_memory_channel[bytes](n_frames)
    send_b, receive_b = trio.open_memory_channel[bytes](n_frames)
    return MemoryChannel(send_a, receive_b), MemoryChannel(send_b, receive_a)
