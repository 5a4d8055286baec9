"""The WebSocket that agents dial, as the fleet's frame channel."""

from __future__ import annotations

from paddler.balancer.fleet.channel import ChannelClosed
from paddler.balancer.http_edge.errors import SocketClosed
from paddler.balancer.http_edge.sockets import NORMAL, Socket


class AgentSocketChannel:
    """A `FrameChannel` over `socket`; a text frame closes it, as agents send none."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    async def send(self, frame: bytes) -> None:
        """Send one frame; raises `ChannelClosed`."""
        try:
            await self._socket.send(frame)
        except SocketClosed as closed:
            raise ChannelClosed(str(closed)) from None

    async def receive(self) -> bytes:
        """Wait for the next frame; raises `ChannelClosed`."""
        try:
            frame = await self._socket.receive()
        except SocketClosed as closed:
            raise ChannelClosed(str(closed)) from None
        if isinstance(frame, str):
            message = "a text frame arrived where binary ones belong"
            raise ChannelClosed(message)
        return frame

    async def close(self, reason: str) -> None:
        """Close, telling the agent why."""
        await self._socket.close(NORMAL, reason)
