"""Mixed clients of one balancer, and what became of every request.

Each kind of client repeats for ever what one user would do: stream an answer,
hold a conversation, leave in the middle, use a socket for several requests and
take some back, embed documents, send nonsense. Every request must have an
outcome in time; which outcomes are failures is for `soak` to say.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import random
from collections.abc import Awaitable, Callable

import h11
import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, open_websocket_url

from benchmarks.chat_traffic import Messages
from benchmarks.clients import (
    CONVERSATION_PATH,
    RAW_PROMPT_PATH,
    RequestFailed,
    StreamTimes,
    paddler_stream,
    read_paddler_item,
    request,
)
from benchmarks.prompts import words

EMBEDDING_PATH = "/api/v1/generate_embedding_batch"
SOCKET_PATH = "/api/v1/inference_socket"
CONNECTION_ERRORS = (
    OSError,
    trio.BrokenResourceError,
    h11.ProtocolError,
    ConnectionClosed,
    HandshakeError,
)
LIMIT_S = 300.0
"""A request that has no outcome by then has none."""

HUNG = "hung"
CUT = "cut"
DONE = "done"
LEFT = "left"


class Outcomes:
    """Counts, by kind of request and outcome; `examples` has a message for each failure."""

    def __init__(self) -> None:
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.examples: dict[tuple[str, str], str] = {}
        self.n_open = 0

    def note(self, kind: str, outcome: str, example: str = "") -> None:
        """A request has ended."""
        self.counts[kind, outcome] += 1
        if example:
            self.examples.setdefault((kind, outcome), example[:200])

    async def watch(self, kind: str, ask: Callable[[], Awaitable[object]]) -> bool:
        """Run one request to its outcome and count it; returns whether it was answered."""
        self.n_open += 1
        try:
            with trio.move_on_after(LIMIT_S) as limit:
                await ask()
                self.note(kind, DONE)
                return True
            if limit.cancelled_caught:
                self.note(kind, HUNG, f"nothing within {LIMIT_S:g} s")
        except RequestFailed as failed:
            outcome = str(failed.code) if failed.code else "failed"
            self.note(kind, outcome, str(failed))
        except CONNECTION_ERRORS as error:
            self.note(kind, CUT, repr(error))
        finally:
            self.n_open -= 1
        return False


def raw_prompt(source: random.Random) -> dict[str, object]:
    """A request of random size."""
    prompt = words(source.choice((3, 10, 30, 150)), f"soak {source.random()}")
    return {"raw_prompt": prompt, "max_tokens": source.choice((1, 4, 16, 40))}


async def stream_answers(url: str, outcomes: Outcomes, source: random.Random) -> None:
    """One request after the other."""
    while True:
        body = raw_prompt(source)
        ask = functools.partial(paddler_stream, url, RAW_PROMPT_PATH, body)
        await outcomes.watch("stream", ask)
        await trio.sleep(source.uniform(0.0, 0.5))


async def hold_conversations(url: str, outcomes: Outcomes, source: random.Random) -> None:
    """Conversations of a few turns, most of them cached."""
    while True:
        messages: Messages = [{"role": "system", "content": words(60, "soak system")}]
        for _ in range(source.randint(1, 4)):
            messages.append({"role": "user", "content": words(12, f"soak {source.random()}")})
            body = {
                "conversation_history": messages,
                "add_generation_prompt": True,
                "enable_thinking": False,
                "max_tokens": 16,
            }
            answer = StreamTimes(0.0)
            ask = functools.partial(paddler_stream, url, CONVERSATION_PATH, body, answer)
            if not await outcomes.watch("conversation", ask):
                break
            messages.append({"role": "assistant", "content": answer.text or "..."})
            await trio.sleep(source.uniform(0.0, 1.0))


async def leave_early(url: str, outcomes: Outcomes, source: random.Random) -> None:
    """Clients that go away at a random moment."""
    while True:
        body = {"raw_prompt": words(source.choice((5, 300)), "soak"), "max_tokens": 200}
        with trio.move_on_after(source.choice((0.0, 0.02, 0.2, 1.0, 3.0))) as patience:
            ask = functools.partial(paddler_stream, url, RAW_PROMPT_PATH, body)
            await outcomes.watch("left", ask)
        if patience.cancelled_caught:
            outcomes.note("left", LEFT)
        await trio.sleep(source.uniform(0.0, 0.5))


async def embed_documents(url: str, outcomes: Outcomes, source: random.Random) -> None:
    """Batches of documents; every one must come back."""
    while True:
        documents = [
            {"id": str(number), "content": words(source.choice((3, 20)), f"{source.random()}")}
            for number in range(source.randint(0, 8))
        ]
        await outcomes.watch("embedding", functools.partial(_embed, url, documents))
        await trio.sleep(source.uniform(0.2, 1.0))


async def _embed(url: str, documents: list[dict[str, str]]) -> None:
    body = {"input_batch": documents, "normalization_method": "L2"}
    lines = (await request(url, EMBEDDING_PATH, body)).splitlines()
    if b'"Done"' not in lines[-1]:
        error = json.loads(lines[-1]).get("Error", {}).get("error", {})
        raise RequestFailed(int(error.get("code", 0)), lines[-1].decode())
    if len(lines) != len(documents) + 1:
        raise RequestFailed(0, f"{len(lines) - 1} results for {len(documents)} documents")


async def send_nonsense(url: str, outcomes: Outcomes, source: random.Random) -> None:
    """Requests that must be refused with 400, and leave the server working."""
    bodies = (b"", b"{", b"[]", b'{"raw_prompt": 1, "max_tokens": 1}', b'{"max_tokens": 0}')
    while True:
        body = source.choice(bodies)
        ask = functools.partial(request, url, RAW_PROMPT_PATH, body)
        await outcomes.watch("nonsense", ask)
        await trio.sleep(source.uniform(0.5, 2.0))


async def use_sockets(url: str, outcomes: Outcomes, source: random.Random) -> None:
    """Sockets with several requests at once, some taken back; some sockets just go away."""
    socket_url = url.replace("http", "ws", 1) + SOCKET_PATH
    while True:
        n_requests = source.randint(1, 4)
        try:
            with trio.move_on_after(LIMIT_S) as limit:
                async with open_websocket_url(socket_url) as socket:
                    await _use_socket(socket, n_requests, outcomes, source)
            if limit.cancelled_caught:
                outcomes.note("socket", HUNG, f"nothing within {LIMIT_S:g} s")
        except CONNECTION_ERRORS as error:
            outcomes.note("socket", CUT, repr(error))
        await trio.sleep(source.uniform(0.0, 1.0))


async def _use_socket(
    socket: WebSocketConnection, n_requests: int, outcomes: Outcomes, source: random.Random
) -> None:
    open_ids = {f"r{number}" for number in range(n_requests)}
    for request_id in open_ids:
        asked = {"ContinueFromRawPrompt": raw_prompt(source)}
        await _send(socket, {"Request": {"id": request_id, "request": asked}})
    await trio.sleep(source.uniform(0.0, 0.5))
    if source.random() < 0.2:
        for _ in open_ids:
            outcomes.note("socket", LEFT)
        return
    if source.random() < 0.4:
        taken_back = open_ids.pop()
        await _send(socket, {"Notification": {"StopRespondingTo": taken_back}})
        outcomes.note("socket", LEFT)
    while open_ids:
        frame = json.loads(await socket.get_message())
        envelope = frame.get("Response") or frame.get("Error")
        if envelope is None or envelope["request_id"] not in open_ids:
            continue
        with contextlib.suppress(RequestFailed):
            if not read_paddler_item(json.dumps(frame), StreamTimes(0.0)):
                continue
            outcomes.note("socket", DONE)
            open_ids.discard(envelope["request_id"])
            continue
        outcomes.note("socket", str(frame.get("Error", {}).get("error", {}).get("code", "failed")))
        open_ids.discard(envelope["request_id"])


async def _send(socket: WebSocketConnection, frame: object) -> None:
    await socket.send_message(json.dumps(frame))


CLIENTS: tuple[tuple[Callable[[str, Outcomes, random.Random], Awaitable[None]], int], ...] = (
    (stream_answers, 3),
    (hold_conversations, 2),
    (leave_early, 2),
    (use_sockets, 2),
    (embed_documents, 1),
    (send_nonsense, 1),
)
"""Kinds of clients, and how many of each there are."""
