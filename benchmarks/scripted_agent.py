"""Agents without a model, that cost as little as possible: a process to measure the balancer with.

    python -m benchmarks.scripted_agent --management-port PORT --agents 8 --slots 8 --tokens 2000

Each speaks the link's protocol over a WebSocket of its own. In `flood` mode an
agent waits until all its slots have a request and then sends one frame per
step with a token of every slot: the same bytes again and again, as fast as
the balancer reads them or at `--steps-per-s`. In `echo` mode each request is
answered at once with one token.

A token's text holds one `~`, so that clients can count tokens without parsing.
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Sequence

import msgspec
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
)

from paddler.messages.agents import ApplicationStatus
from paddler.messages.generation import (
    EngineTimings,
    FinishReason,
    GenerationDone,
    GenerationEvent,
    GenerationStarted,
    TokenClass,
    TokenEvent,
    Usage,
)
from paddler.messages.link import (
    PROTOCOL_VERSION,
    AgentStatus,
    ApplyState,
    EventBatch,
    Generate,
    Heartbeat,
    Hello,
    ModelDescription,
    RequestEvents,
    ToAgent,
)

TOKEN_TEXT = " word~"
_FRAMES_PER_WRITE = 4

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ToAgent).decode


def client_frame(payload: bytes) -> bytes:
    """A binary WebSocket frame of a client, masked with zeros: the payload stays as it is."""
    size = len(payload)
    if size < 126:
        head = bytes((0x82, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x82, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x82, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


def events_frame(request_ids: Sequence[int], events: Sequence[GenerationEvent]) -> bytes:
    """One frame that tells the same of several requests."""
    batch = [RequestEvents(request_id, list(events)) for request_id in request_ids]
    return client_frame(_encode(EventBatch(batch)))


class FloodingAgent:
    """One agent.

    Args:
        stream: Connected to the management service.
        n_slots: Requests it takes at once.
        n_tokens: Tokens it answers each with; 0 is the `echo` mode.
        steps_per_s: Frames a second; 0 is as fast as it goes.
    """

    def __init__(
        self, stream: trio.SocketStream, *, n_slots: int, n_tokens: int, steps_per_s: float
    ) -> None:
        self._stream = stream
        self._socket = WSConnection(ConnectionType.CLIENT)
        self._n_slots = n_slots
        self._n_tokens = n_tokens
        self._steps_per_s = steps_per_s
        self._waiting: list[int] = []

    async def run(self) -> None:
        """Serve until the balancer closes the link."""
        agent_id = secrets.token_hex(8)
        target = f"/api/v1/agent_socket/{agent_id}"
        await self._stream.send_all(self._socket.send(Request(host="localhost", target=target)))
        async with trio.open_nursery() as nursery:
            while data := bytes(await self._stream.receive_some()):
                self._socket.receive_data(data)
                for event in self._socket.events():
                    await self._obey(event, nursery)
            nursery.cancel_scope.cancel()

    async def _obey(self, event: Event, nursery: trio.Nursery) -> None:
        if isinstance(event, AcceptConnection):
            hello = Hello(
                protocol_version=PROTOCOL_VERSION,
                name=None,
                slots=self._n_slots,
                paddler_version="0",
                llama_cpp_version="0",
            )
            await self._stream.send_all(client_frame(_encode(hello)))
        elif isinstance(event, BytesMessage):
            await self._take(_decode(bytes(event.data)), nursery)
        elif isinstance(event, Ping | CloseConnection):
            await self._stream.send_all(self._socket.send(event.response()))

    async def _take(self, frame: object, nursery: trio.Nursery) -> None:
        if isinstance(frame, ApplyState):
            await self._stream.send_all(client_frame(_encode(self._status(frame.version))))
        elif isinstance(frame, Heartbeat) and not self._is_flooding:
            await self._stream.send_all(client_frame(_encode(Heartbeat())))
        elif isinstance(frame, Generate):
            if not self._n_tokens:
                events: list[GenerationEvent] = [GenerationStarted(0, 10, 0), _token(), _done(1)]
                await self._stream.send_all(events_frame([frame.request_id], events))
                return
            self._waiting.append(frame.request_id)
            if len(self._waiting) == self._n_slots:
                requests, self._waiting = self._waiting, []
                nursery.start_soon(self._flood, requests)

    _is_flooding = False

    async def _flood(self, request_ids: Sequence[int]) -> None:
        self._is_flooding = True
        await self._stream.send_all(events_frame(request_ids, [GenerationStarted(0, 10, 0)]))
        step = events_frame(request_ids, [_token()])
        n_steps = self._n_tokens - 1
        if self._steps_per_s:
            began = time.monotonic()
            for number in range(n_steps):
                due_in_s = began + number / self._steps_per_s - time.monotonic()
                await trio.sleep(max(0.0, due_in_s))
                await self._stream.send_all(step)
        else:
            for _ in range(n_steps // _FRAMES_PER_WRITE):
                await self._stream.send_all(step * _FRAMES_PER_WRITE)
            await self._stream.send_all(step * (n_steps % _FRAMES_PER_WRITE))
        await self._stream.send_all(events_frame(request_ids, [_token(), _done(self._n_tokens)]))
        self._is_flooding = False

    def _status(self, version: int) -> AgentStatus:
        return AgentStatus(
            status=ApplicationStatus.APPLIED,
            applied_version=version,
            slots_total=self._n_slots,
            model=ModelDescription(
                path="/model.gguf",
                name="model",
                metadata={},
                chat_template=None,
                uses_chat_template_override=False,
                can_generate=True,
                can_embed=False,
                supports_images=False,
                context_tokens=1 << 20,
                n_parameters=1,
                size_bytes=1,
            ),
            download=None,
            issues=[],
        )


def _token() -> TokenEvent:
    return TokenEvent(TokenClass.CONTENT, TOKEN_TEXT, [1234])


def _done(n_tokens: int) -> GenerationDone:
    timings = EngineTimings(queued_ms=0.0, prefill_ms=1.0, decode_ms=1.0, slot=0)
    return GenerationDone(FinishReason.MAX_TOKENS, Usage(content_tokens=n_tokens), timings)


async def run(arguments: argparse.Namespace) -> None:
    """Connect the agents and serve until the balancer is gone."""
    async with trio.open_nursery() as nursery:
        for _ in range(arguments.agents):
            stream = await trio.open_tcp_stream("127.0.0.1", arguments.management_port)
            agent = FloodingAgent(
                stream,
                n_slots=arguments.slots,
                n_tokens=arguments.tokens,
                steps_per_s=arguments.steps_per_s,
            )
            nursery.start_soon(agent.run)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--management-port", type=int, required=True)
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=1000, help="per request; 0: echo mode")
    parser.add_argument("--steps-per-s", type=float, default=0.0)
    trio.run(run, parser.parse_args())


if __name__ == "__main__":
    main()
