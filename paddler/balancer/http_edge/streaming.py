"""Answers to HTTP requests: whole ones, and those written chunk by chunk."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

Headers = Sequence[tuple[str, str]]
SendChunk = Callable[[bytes], Awaitable[None]]
AsgiMessage = Mapping[str, object]
AsgiReceive = Callable[[], Awaitable[AsgiMessage]]
AsgiSend = Callable[..., Awaitable[None]]

JSON = "application/json"
PLAIN_TEXT = "text/plain; charset=utf-8"
EVENT_STREAM = "text/event-stream"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer that is complete before its first byte leaves."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: Headers = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamedAnswer:
    """An answer written while it comes into being.

    `write` runs in the request's task, inside the request's nursery; it is
    given a function that sends one chunk, and the answer ends when it returns.
    An error it raises cuts the connection, as the status is long gone.
    """

    write: Callable[[SendChunk], Awaitable[None]]
    status: int = 200
    content_type: str = JSON
    headers: Headers = (("Cache-Control", "no-cache"),)


AnyAnswer = Answer | StreamedAnswer


def json_answer(content: object, status: int = 200) -> Answer:
    """`content` encoded by msgspec."""
    return Answer(status=status, body=msgspec.json.encode(content))


def text_answer(text: str, status: int = 200) -> Answer:
    """`text` as UTF-8."""
    return Answer(status=status, body=text.encode(), content_type=PLAIN_TEXT)


async def send_answer(
    send: AsgiSend, answer: AnyAnswer, *, more_headers: Headers = (), last: bool = False
) -> None:
    """Send `answer` through the ASGI callable `send`.

    Args:
        send: ASGI send.
        answer: What to send; a `StreamedAnswer` is run to its end.
        more_headers: Headers beyond the answer's own.
        last: Whether the connection is closed afterwards.
    """
    headers = [(b"content-type", answer.content_type.encode("latin-1"))]
    headers += [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in (*answer.headers, *more_headers)
    ]
    if last:
        headers.append((b"connection", b"close"))
    if isinstance(answer, Answer):
        if answer.status != 204:
            headers.append((b"content-length", b"%d" % len(answer.body)))
        await _start(send, answer.status, headers)
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})
        return

    async def send_chunk(chunk: bytes) -> None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})

    await _start(send, answer.status, headers)
    await answer.write(send_chunk)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _start(send: AsgiSend, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def send_socket_refusal(send: AsgiSend, answer: Answer) -> None:
    """Answer a WebSocket handshake with an ordinary HTTP answer."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in (("Content-Type", answer.content_type), *answer.headers)
    ]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    headers.append((b"connection", b"close"))
    await send(
        {"type": "websocket.http.response.start", "status": answer.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": answer.body, "more_body": False})
