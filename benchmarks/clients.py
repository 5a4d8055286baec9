"""Streaming clients that note when each piece of an answer arrives.

One connection per request, over h11: the same client for every server that is
compared, so that what it costs is the same for all.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import h11
import msgspec
import trio

_READ_BYTES = 1 << 16
TOKEN_KINDS = ("ContentToken", "ReasoningToken", "ToolCallToken", "UndeterminableToken")
RAW_PROMPT_PATH = "/api/v1/continue_from_raw_prompt"
CONVERSATION_PATH = "/api/v1/continue_from_conversation_history"


class RequestFailed(Exception):
    """The server answered with an error, in its status or in the stream."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code


@dataclasses.dataclass
class StreamTimes:
    """One answer. Times are `trio.current_time()`; `arrivals` are those of pieces of text."""

    asked_at: float
    arrivals: list[float] = dataclasses.field(default_factory=list)
    ended_at: float = 0.0
    n_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    text: str = ""
    _arrived: trio.Event = dataclasses.field(default_factory=trio.Event)

    @property
    def ttft_s(self) -> float:
        """Time to first token; to the end, if none of them completed a character."""
        return (self.arrivals[0] if self.arrivals else self.ended_at) - self.asked_at

    @property
    def gaps_s(self) -> list[float]:
        """Times between tokens."""
        return [later - earlier for earlier, later in itertools.pairwise(self.arrivals)]

    def piece(self, text: str) -> None:
        """A piece of text has arrived."""
        self.arrivals.append(trio.current_time())
        self.text += text
        self._arrived.set()

    async def next_piece(self) -> None:
        """Wait until another piece of text arrives."""
        self._arrived = trio.Event()
        await self._arrived.wait()


def started(times: StreamTimes | None = None) -> StreamTimes:
    """An answer that is asked for now."""
    times = StreamTimes(0.0) if times is None else times
    times.asked_at = trio.current_time()
    return times


async def request(
    base_url: str,
    path: str,
    body: object = None,
    *,
    method: str = "POST",
    on_line: Callable[[bytes], None] | None = None,
) -> bytes:
    """Send one request and read its answer to the end.

    Args:
        base_url: `http://host:port`.
        path: Of the resource.
        body: Encoded as JSON; bytes are sent as they are.
        method: HTTP method.
        on_line: Called with each line of a good answer as it arrives, without
            its end; the body is not kept then.

    Raises:
        RequestFailed: The status is not 2xx.
        OSError, trio.BrokenResourceError, h11.RemoteProtocolError: The connection failed.
    """
    host, _, port = base_url.removeprefix("http://").rpartition(":")
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    if body is None:
        content = b""
    headers = [
        ("Host", f"{host}:{port}"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(content))),
        ("Connection", "close"),
    ]
    connection = h11.Connection(h11.CLIENT)
    head = connection.send(h11.Request(method=method, target=path, headers=headers)) or b""
    data = connection.send(h11.Data(data=content)) or b""
    end = connection.send(h11.EndOfMessage()) or b""
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(head + data + end)
        return await _read_answer(stream, connection, on_line)


async def _read_answer(
    stream: trio.SocketStream, connection: h11.Connection, on_line: Callable[[bytes], None] | None
) -> bytes:
    status = 0
    received = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            received += bytes(event.data)
            if on_line is not None and 200 <= status < 300:
                *lines, received = received.split(b"\n")
                for line in lines:
                    on_line(line)
        elif isinstance(event, h11.EndOfMessage):
            break
        elif isinstance(event, h11.ConnectionClosed):
            raise RequestFailed(status, "the connection was closed before the answer's end")
    if not 200 <= status < 300:
        raise RequestFailed(status, received.decode("utf-8", "replace").strip()[:500])
    return received


async def llama_completion(
    base_url: str, body: Mapping[str, object], times: StreamTimes | None = None
) -> StreamTimes:
    """Stream llama-server's own `/completion`."""
    answer = started(times)

    def on_line(line: bytes) -> None:
        item = _sse_item(line)
        if item is None:
            return
        if "error" in item:
            raise RequestFailed(int(item["error"].get("code", 500)), str(item["error"]))
        if item.get("content"):
            answer.piece(item["content"])
        if item.get("stop"):
            answer.n_tokens = item["tokens_predicted"]
            answer.prompt_tokens = item["tokens_evaluated"]
            answer.cached_tokens = item["timings"].get("cache_n", 0)

    await request(base_url, "/completion", {**body, "stream": True}, on_line=on_line)
    answer.ended_at = trio.current_time()
    return answer


async def openai_chat(
    base_url: str, body: Mapping[str, object], times: StreamTimes | None = None
) -> StreamTimes:
    """Stream `/v1/chat/completions`."""
    answer = started(times)

    def on_line(line: bytes) -> None:
        item = _sse_item(line)
        if item is None:
            return
        if "error" in item:
            raise RequestFailed(int(item["error"].get("code") or 500), str(item["error"]))
        for choice in item.get("choices") or []:
            if choice["delta"].get("content"):
                answer.piece(choice["delta"]["content"])
        usage = item.get("usage")
        if usage:
            answer.n_tokens = usage["completion_tokens"]
            answer.prompt_tokens = usage["prompt_tokens"]
            answer.cached_tokens = (usage.get("prompt_tokens_details") or {}).get(
                "cached_tokens", 0
            )

    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    await request(base_url, "/v1/chat/completions", asked, on_line=on_line)
    answer.ended_at = trio.current_time()
    return answer


async def paddler_stream(
    base_url: str, path: str, body: Mapping[str, object], times: StreamTimes | None = None
) -> StreamTimes:
    """Stream one of our inference service's endpoints."""
    answer = started(times)

    def on_line(line: bytes) -> None:
        read_paddler_item(line, answer)

    await request(base_url, path, body, on_line=on_line)
    answer.ended_at = trio.current_time()
    return answer


def read_paddler_item(line: bytes | str, times: StreamTimes) -> bool:
    """Note what one item of our stream says; returns whether it was the last."""
    if not line:
        return False
    item: dict[str, Any] = msgspec.json.decode(line)
    if "Error" in item:
        error = item["Error"]["error"]
        raise RequestFailed(error["code"], error["description"])
    kind, payload = next(iter(item["Response"]["response"]["GeneratedToken"].items()))
    if kind in TOKEN_KINDS:
        times.piece(payload)
        return False
    if kind == "Done":
        usage = payload["usage"]
        outputs = ("content", "reasoning", "tool_call", "undeterminable")
        times.n_tokens = sum(usage[f"{name}_tokens"] for name in outputs)
        times.prompt_tokens = usage["prompt_tokens"]
        times.cached_tokens = usage["cached_prompt_tokens"]
        return True
    raise RequestFailed(0, f"{kind}: {payload}")


def _sse_item(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"data:"):
        return None
    data = line.removeprefix(b"data:").strip()
    if data == b"[DONE]":
        return None
    item: dict[str, Any] = msgspec.json.decode(data)
    return item
