"""An HTTP server that serves files, and misbehaves as told. Loopback, free port.

Written on bare sockets, as proper servers refuse to lie.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias

import trio


@dataclasses.dataclass(frozen=True)
class Request:
    """The head of a request; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


Behaviour: TypeAlias = Callable[[Request, trio.SocketStream], Awaitable[None]]


def head(status: int, **headers: object) -> bytes:
    """A response's head; underscores in names become dashes."""
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode()


def status(code: int, **headers: object) -> Behaviour:
    """Answer with `code` and no body."""

    async def behave(request: Request, stream: trio.SocketStream) -> None:
        await stream.send_all(head(code, Content_Length=0, **headers))

    return behave


def serve(content: bytes, *, etag: str | None = '"v1"', cut_after: int | None = None) -> Behaviour:
    """Serve `content` properly, ranges included, but for what is asked for otherwise.

    Args:
        content: The file.
        etag: Its validator.
        cut_after: Break off after that many bytes of a body.
    """

    async def behave(request: Request, stream: trio.SocketStream) -> None:
        headers = {} if etag is None else {"ETag": etag}
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        current = request.headers.get("if-range", etag) == etag
        if asked is None or not current:
            body = content
            await stream.send_all(head(200, Content_Length=len(content), **headers))
        elif int(asked[1]) >= len(content):
            await stream.send_all(head(416, Content_Length=0))
            return
        else:
            first = int(asked[1])
            body = content[first:]
            extent = f"bytes {first}-{len(content) - 1}/{len(content)}"
            await stream.send_all(
                head(206, Content_Length=len(body), Content_Range=extent, **headers)
            )
        if request.method != "HEAD":
            await stream.send_all(body[:cut_after])

    return behave


async def hang(request: Request, stream: trio.SocketStream) -> None:
    """Answer nothing."""
    await trio.sleep_forever()


class FileServer:
    """Serves `behaviours` by target; `requests` are all that came."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.behaviours: dict[str, Behaviour] = {}
        self.requests: list[Request] = []

    def url(self, target: str) -> str:
        """The URL of `target`, which begins with a slash."""
        return f"http://127.0.0.1:{self.port}{target}"

    async def handle(self, stream: trio.SocketStream) -> None:
        """Serve one connection, which is one request."""
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                request = await _read_request(stream)
                if request is None:
                    return
                self.requests.append(request)
                await self.behaviours.get(request.target, status(404))(request, stream)


async def _read_request(stream: trio.SocketStream) -> Request | None:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = await stream.receive_some()
        if not chunk:
            return None
        received += chunk
    first, *lines = received.split(b"\r\n\r\n")[0].decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, value = line.split(":", 1)
        headers[name.strip().lower()] = value.strip()
    return Request(method, target, headers)


@contextlib.asynccontextmanager
async def file_server() -> AsyncGenerator[FileServer, None]:
    """A server until the block ends; then its connections are cut."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = FileServer(listener.socket.getsockname()[1])
        nursery.start_soon(trio.serve_listeners, server.handle, [listener])
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()
