"""What a link needs of its transport: whole binary frames, in order."""

from __future__ import annotations

from typing import Protocol


class ChannelClosed(Exception):
    """The other end is gone; the text says how, as far as it is known."""


class FrameChannel(Protocol):
    """A connection that carries frames of at most `messages.link.MAX_FRAME_BYTES`.

    One task sends, another receives. Cancelling either may lose the
    connection, never half a frame.
    """

    async def send(self, frame: bytes) -> None:
        """Send one frame, waiting as long as the peer does not read.

        Raises:
            ChannelClosed: The connection is gone.
        """

    async def receive(self) -> bytes:
        """Wait for the next frame.

        Raises:
            ChannelClosed: The connection is gone.
        """

    async def close(self, reason: str) -> None:
        """Close, telling the peer why; never raises for a connection that is gone.

        Called under a deadline, once, after which nothing else is called.
        """
