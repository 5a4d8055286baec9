"""A service of the HTTP edge on a free port, and raw connections to it."""

from __future__ import annotations

import contextlib
import dataclasses
import http
from collections.abc import AsyncGenerator, Callable

import trio

from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.serving.listeners import ListenAddress, open_listeners
from paddler.balancer.http_edge.serving.server import EdgeServer
from paddler.balancer.http_edge.streaming import text_answer
from tests.support.waiting import until


@dataclasses.dataclass
class RunningEdge:
    """A service that runs."""

    app: EdgeApp
    server: EdgeServer
    port: int
    clients: list[trio.SocketStream] = dataclasses.field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self, *, receive_buffer_bytes: int = 0) -> trio.SocketStream:
        """A raw connection; a small receive buffer makes it easy to stop reading."""
        sock = trio.socket.socket()
        if receive_buffer_bytes:
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            await sock.connect(("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        stream = trio.SocketStream(sock)
        self.clients.append(stream)
        return stream

    async def shake_hands(self, path: str, headers: dict[str, str] | None = None) -> int:
        """Ask for a WebSocket; the status of the answer."""
        stream = await self.connect()
        upgrade = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
        }
        await stream.send_all(request_bytes(path, headers={**upgrade, **(headers or {})}))
        head, _ = await read_head(stream)
        return status_in(head)

    async def until_nobody_is_connected(self) -> None:
        await until(lambda: not self.server.n_connections)


def make_app(limits: EdgeLimits | None = None, cors: CorsPolicy | None = None) -> EdgeApp:
    return EdgeApp(
        "test",
        limits=limits or EdgeLimits(),
        cors=cors or CorsPolicy(),
        render_error=lambda code, description: text_answer(description, code),
    )


@contextlib.asynccontextmanager
async def running_edge(
    add_routes: Callable[[EdgeApp], None],
    *,
    limits: EdgeLimits | None = None,
    cors: CorsPolicy | None = None,
) -> AsyncGenerator[RunningEdge, None]:
    """Serve the routes until the block ends; everything is over within a few seconds."""
    app = make_app(limits, cors)
    add_routes(app)
    listeners = await open_listeners(ListenAddress("--addr", "127.0.0.1", 0), app.limits)
    server = EdgeServer(app, listeners)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        edge = RunningEdge(app, server, listeners.addresses[0][1])
        try:
            with trio.fail_after(20):
                yield edge
        finally:
            for client in edge.clients:
                client.socket.close()
        nursery.cancel_scope.cancel()


async def read_head(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    """The head of an answer, and what of its body came with it."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = await stream.receive_some()
        if not data:
            break
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def status_in(head: bytes) -> int:
    """The status in an answer's head, whose status line is complete."""
    version, status, reason = head.split(b"\r\n")[0].split(b" ", 2)
    assert (version, reason) == (b"HTTP/1.1", http.HTTPStatus(int(status)).phrase.encode())
    return int(status)


async def read_all(stream: trio.SocketStream) -> bytes:
    """Everything until the other end closes."""
    received = b""
    while data := await stream.receive_some():
        received += data
    return received


def request_bytes(
    path: str, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1"]
    if "Host" not in (headers or {}):
        lines.append("Host: test")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
