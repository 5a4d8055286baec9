"""Clients that send whatever comes to their minds; the service outlives all of them."""

from __future__ import annotations

import contextlib
import random

import pytest
import trio

from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.sockets import Socket
from paddler.balancer.http_edge.streaming import Answer, SendChunk, StreamedAnswer, json_answer
from tests.support.edge_servers import (
    RunningEdge,
    read_head,
    request_bytes,
    running_edge,
    status_in,
)

N_CLIENTS = 150

LIMITS = EdgeLimits(
    header_read_timeout_s=0.3,
    body_read_timeout_s=0.3,
    keep_alive_timeout_s=0.3,
    socket_ping_interval_s=0.05,
    socket_silence_s=0.3,
    unwinding_s=0.2,
    linger_s=0.1,
    max_body_bytes=1000,
    max_header_bytes=2048,
    max_message_bytes=100,
)

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}

CHUNKED = {"Transfer-Encoding": "chunked"}

PIECES = [
    request_bytes("/count", "POST", b"x" * 10),
    request_bytes("/count", "POST", b"x" * 2000),
    request_bytes("/stream"),
    request_bytes("/stream", headers={"Connection": "close"}),
    request_bytes("/nowhere", "HEAD"),
    request_bytes("/count", "POST", headers={"Transfer-Encoding": "chunked"})
    + b"3\r\nabc\r\n0\r\n\r\n",
    request_bytes("/count", "POST", headers=CHUNKED) + b"zz\r\n",
    request_bytes(
        "/count", "POST", headers={"Content-Length": "5", "Transfer-Encoding": "chunked"}
    ),
    request_bytes("/count", "POST", headers={"Expect": "100-continue", "Content-Length": "3"}),
    request_bytes("/count", headers={"X": "y" * 4000}),
    request_bytes("/echo", headers=UPGRADE),
    request_bytes("/nowhere", headers=UPGRADE),
    request_bytes("/echo", headers={**UPGRADE, "Sec-WebSocket-Version": "12"}),
    request_bytes("/echo", headers={**UPGRADE, "Origin": "https://evil.example"}),
    request_bytes("/echo", "POST", b"abc", headers=UPGRADE),
    b"\x81\x85\x00\x00\x00\x00hello",  # WebSocket frames: a text,
    b"\x81\xff" + b"\xff" * 12,  # an endless one,
    b"\x89\x80\x00\x00\x00\x00",  # a ping,
    b"\x88\x82\x00\x00\x00\x00\x03\xe8",  # the end,
    b"\x81\x05hello",  # and one without a mask.
    b"\x16\x03\x01\x02\x00\x01",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\r\n",
    b"\0" * 50,
]


async def count(request: EdgeRequest) -> Answer:
    return json_answer(len(request.content))


async def stream(request: EdgeRequest) -> StreamedAnswer:
    async def write(send: SendChunk) -> None:
        for _ in range(20):
            await send(b"x" * 1000)
            await trio.sleep(0.002)

    return StreamedAnswer(write=write)


async def echo(socket: Socket) -> None:
    while True:
        await socket.send(await socket.receive())


def routes(app: EdgeApp) -> None:
    app.add_route("POST", "/count", count)
    app.add_route("GET", "/stream", stream)
    app.add_socket_route("/echo", echo)


async def misbehave(edge: RunningEdge, source: random.Random) -> None:
    """Send some pieces, whole or in part, and leave in one way or another."""
    client = await edge.connect()
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        for _ in range(source.randint(1, 4)):
            piece = source.choice(PIECES)
            if source.random() < 0.2:
                piece = piece[: source.randrange(len(piece))]
            await client.send_all(piece)
            await trio.sleep(source.choice([0, 0, 0.01, 0.1]))
        leave = source.choice(["close", "half close", "read on", "stay"])
        if leave == "half close":
            await client.send_eof()
        if leave in ("half close", "read on"):
            with trio.move_on_after(0.5):
                while await client.receive_some():
                    pass
        if leave == "stay":
            await trio.sleep(0.5)
    await client.aclose()


@pytest.mark.parametrize("seed", range(3))
async def test_the_service_outlives_whatever_clients_do(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_edge(routes, limits=LIMITS) as edge:
        async with trio.open_nursery() as clients:
            for number in range(N_CLIENTS):
                clients.start_soon(misbehave, edge, random.Random(N_CLIENTS * seed + number))
                await trio.sleep(0.005)
        await edge.until_nobody_is_connected()
        client = await edge.connect()
        await client.send_all(request_bytes("/count", "POST", b"abc"))
        head, body = await read_head(client)
        assert (status_in(head), body) == (200, b"3")
    assert "failed" not in caplog.text
