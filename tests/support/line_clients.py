"""A streaming HTTP client that shows each line as it arrives, and can leave at any time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator

import h11
import trio


class LineClient:
    """One POST over one connection.

    Attributes:
        status: Of the answer, once its head was read.
        headers: Of the answer, names in lower case.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._connection = h11.Connection(h11.CLIENT)
        self._buffer = b""
        self._is_over = False
        self.status = 0
        self.headers: dict[str, str] = {}

    async def ask(self, path: str, body: bytes, method: str = "POST") -> None:
        headers = [("Host", "test"), ("Content-Length", str(len(body)))]
        request = h11.Request(method=method, target=path, headers=headers)
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            await self._stream.send_all(self._connection.send(event) or b"")

    async def read_head(self) -> None:
        while not self.status:
            self._take(await self._next_event())

    async def line(self) -> str:
        """The next line, or an empty string at the end."""
        while b"\n" not in self._buffer and not self._is_over:
            self._take(await self._next_event())
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    async def rest(self) -> list[str]:
        """All lines to the end."""
        lines = []
        while line := await self.line():
            lines.append(line)
        return lines

    async def result(self) -> dict[str, object]:
        """The `GeneratedToken` in the next line."""
        found = json.loads(await self.line())["Response"]["response"]["GeneratedToken"]
        assert isinstance(found, dict)
        return found

    async def leave(self) -> None:
        await self._stream.aclose()

    async def _next_event(self) -> object:
        while True:
            event = self._connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._connection.receive_data(await self._stream.receive_some())

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Response):
            self.status = event.status_code
            self.headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            self._buffer += bytes(event.data)
        else:
            self._is_over = True


@contextlib.asynccontextmanager
async def asking(
    url: str, path: str, body: object, method: str = "POST"
) -> AsyncGenerator[LineClient, None]:
    """Ask, and be gone at the end of the block."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        client = LineClient(stream)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        await client.ask(path, content, method)
        yield client
