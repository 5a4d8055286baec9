"""What is refused before any service sees it, and how the client is told."""

from __future__ import annotations

import pytest
import trio

from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.streaming import Answer, json_answer
from tests.support.edge_servers import (
    RunningEdge,
    read_all,
    read_head,
    request_bytes,
    running_edge,
    status_in,
)

MAX_HEAD = 2048
LIMITS = EdgeLimits(max_header_bytes=MAX_HEAD, linger_s=0.1)


class Counter:
    """A service that knows how many requests it saw."""

    def __init__(self) -> None:
        self.n_seen = 0

    async def count(self, request: EdgeRequest) -> Answer:
        self.n_seen += 1
        return json_answer(len(request.content))

    def routes(self, app: EdgeApp) -> None:
        app.add_route("POST", "/count", self.count)
        app.add_route("GET", "/count", self.count)


async def whole_answer(edge: RunningEdge, *pieces: bytes) -> tuple[int, bytes]:
    """Status and body of the only answer that a connection gives before it closes."""
    client = await edge.connect()
    for piece in pieces:
        await client.send_all(piece)
        await trio.sleep(0.02)
    with trio.fail_after(5):
        head, body = await read_head(client)
        body += await read_all(client)
    assert b"connection: close" in head.lower()
    return status_in(head), body


def head_of(n_bytes: int, method: str = "GET") -> bytes:
    """A request with a head of that size."""
    return request_bytes(
        "/count", method, headers={"X": "y" * (n_bytes - len(request_bytes("/count", method)) - 5)}
    )


@pytest.mark.parametrize("n_bytes", [MAX_HEAD + 1, 2 * MAX_HEAD, 60_000])
@pytest.mark.parametrize("is_in_pieces", [False, True])
async def test_a_head_above_the_limit_is_refused_however_it_comes(
    n_bytes: int, is_in_pieces: bool
) -> None:
    counter = Counter()
    async with running_edge(counter.routes, limits=LIMITS) as edge:
        head = head_of(n_bytes)
        assert len(head) == n_bytes
        pieces = [head[:1000], head[1000:]] if is_in_pieces else [head]
        status, body = await whole_answer(edge, *pieces)
        assert status == 431
        assert b"2048 bytes" in body
        assert counter.n_seen == 0


async def test_a_head_at_the_limit_is_taken_also_with_a_body_behind_it() -> None:
    counter = Counter()
    async with running_edge(counter.routes, limits=LIMITS) as edge:
        client = await edge.connect()
        for _ in range(2):
            bare = request_bytes("/count", "POST", headers={"Content-Length": "50000"})
            padding = "y" * (MAX_HEAD - len(bare) - 5)
            request = request_bytes(
                "/count", "POST", headers={"Content-Length": "50000", "X": padding}
            )
            assert len(request) == MAX_HEAD
            await client.send_all(request + b"x" * 50_000)
            head, _ = await read_head(client)
            assert status_in(head) == 200
        assert counter.n_seen == 2


async def test_a_head_above_the_limit_behind_other_requests_is_refused() -> None:
    counter = Counter()
    async with running_edge(counter.routes, limits=LIMITS) as edge:
        client = await edge.connect()
        fine = request_bytes("/count", "POST", b"x" * 100)
        await client.send_all(fine + fine + head_of(MAX_HEAD + 1) + fine)
        answers = await read_all(client)
        assert answers.count(b"HTTP/1.1 200 OK") == 2
        assert answers.count(b"HTTP/1.1 431") == 1
        assert counter.n_seen == 2


SMUGGLED = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize(
    ("version", "framing"),
    [
        ("1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("1.0", "Transfer-Encoding: chunked\r\n"),
        ("1.1", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("1.1", "Content-Length: +5\r\n"),
    ],
)
async def test_a_request_whose_end_is_doubtful_is_refused_and_nothing_follows_it(
    method: str, version: str, framing: str
) -> None:
    counter = Counter()
    async with running_edge(counter.routes, limits=LIMITS) as edge:
        head = f"{method} /count HTTP/{version}\r\nHost: x\r\n{framing}\r\n".encode()
        status, body = await whole_answer(edge, head + CHUNKED + SMUGGLED)
        assert status == 400
        assert b"HTTP/1.1" not in body.replace(b"request of HTTP/1.1", b"")
        assert counter.n_seen == 0


async def test_a_transfer_encoding_that_nobody_knows_is_refused() -> None:
    async with running_edge(Counter().routes, limits=LIMITS) as edge:
        head = b"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
        status, body = await whole_answer(edge, head)
        assert status == 501
        assert b"chunked" in body


async def test_every_status_line_says_what_its_number_means() -> None:
    async with running_edge(Counter().routes, limits=LIMITS) as edge:
        for request, status in (
            (request_bytes("/count"), 200),
            (request_bytes("/nowhere"), 404),
            (request_bytes("/count", "DELETE"), 405),
        ):
            client = await edge.connect()
            await client.send_all(request)
            head, _ = await read_head(client)
            assert status_in(head) == status


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on() -> None:
    async with running_edge(Counter().routes, limits=LIMITS) as edge:
        client = await edge.connect()
        headers = {"Expect": "100-continue", "Content-Length": "3"}
        await client.send_all(request_bytes("/count", "POST", headers=headers))
        head, _ = await read_head(client)
        assert status_in(head) == 100
        await client.send_all(b"abc")
        head, body = await read_head(client)
        assert (status_in(head), body) == (200, b"3")
