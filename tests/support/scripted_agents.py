"""An agent that says what a test tells it to, over real link frames in memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import msgspec
import trio

from paddler.balancer.fleet.agent_link import LinkLimits
from paddler.balancer.fleet.channel import ChannelClosed
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.fleet.handshake import serve_agent_link
from paddler.messages.agents import ApplicationStatus, Issue
from paddler.messages.embeddings import DocumentEmbedding, EmbeddingResult
from paddler.messages.generation import (
    EngineTimings,
    FinishReason,
    GenerationDone,
    GenerationEvent,
    TokenClass,
    TokenEvent,
    Usage,
)
from paddler.messages.link import (
    PROTOCOL_VERSION,
    AgentStatus,
    ApplyState,
    CancelRequest,
    Embed,
    EmbeddingEvents,
    EventBatch,
    FromAgent,
    Generate,
    HandedOver,
    Heartbeat,
    Hello,
    Leaving,
    ModelDescription,
    Refused,
    RequestEvents,
    ToAgent,
)
from tests.support.memory_channels import MemoryChannel, channel_pair

T = TypeVar("T")


def hello(name: str | None = None, slots: int = 1, **changes: object) -> Hello:
    made = Hello(
        protocol_version=PROTOCOL_VERSION,
        name=name,
        slots=slots,
        paddler_version="0",
        llama_cpp_version="0",
    )
    return msgspec.structs.replace(made, **changes)


def model_description(**changes: object) -> ModelDescription:
    made = ModelDescription(
        path="/model.gguf",
        name="model",
        metadata={},
        chat_template=None,
        uses_chat_template_override=False,
        can_generate=True,
        can_embed=False,
        supports_images=False,
        context_tokens=8192,
        n_parameters=1,
        size_bytes=1,
    )
    return msgspec.structs.replace(made, **changes)


def token(text: str, *token_ids: int) -> TokenEvent:
    return TokenEvent(TokenClass.CONTENT, text, list(token_ids) or [len(text)])


def done(**usage: int) -> GenerationDone:
    timings = EngineTimings(queued_ms=0.0, prefill_ms=1.0, decode_ms=1.0, slot=0)
    return GenerationDone(FinishReason.END_OF_GENERATION, Usage(**usage), timings)


class ScriptedAgent:
    """The agent's end of a link; a task of `connected` keeps what it receives.

    It applies what it is told at once, unless `applies` is off, and answers
    heartbeats, unless `answers_heartbeats` is off.
    """

    def __init__(self, agent_id: str, channel: MemoryChannel, agent_hello: Hello) -> None:
        self.id = agent_id
        self.channel = channel
        self.hello = agent_hello
        self.model: ModelDescription | None = model_description()
        self.applies = True
        self.answers_heartbeats = True
        self.received: list[ToAgent] = []
        self.link_ended = trio.Event()
        self._arrived = trio.Event()
        self._decode = msgspec.msgpack.Decoder(ToAgent).decode

    async def send(self, frame: FromAgent) -> None:
        await self.channel.send(msgspec.msgpack.encode(frame))

    async def report(
        self,
        status: ApplicationStatus = ApplicationStatus.APPLIED,
        *,
        applied_version: int | None = None,
        issues: list[Issue] | None = None,
    ) -> None:
        await self.send(
            AgentStatus(
                status=status,
                applied_version=applied_version,
                slots_total=self.hello.slots if applied_version is not None else 0,
                model=self.model if applied_version is not None else None,
                download=None,
                issues=issues or [],
            )
        )

    async def events(self, request_id: int, *events: GenerationEvent) -> None:
        await self.send(EventBatch([RequestEvents(request_id, list(events))]))

    async def embeddings(
        self,
        request: Embed,
        *results: EmbeddingResult,
        is_done: bool = True,
        error: str | None = None,
    ) -> None:
        await self.send(EmbeddingEvents(request.request_id, list(results), is_done, error))

    async def embed_all(self, request: Embed) -> None:
        """Answer every document of `request`."""
        vectors = [DocumentEmbedding(d.id, d.content.encode(), 1) for d in request.documents]
        await self.embeddings(request, *vectors)

    async def hand_over(self, *request_ids: int, reason: str = "swapping") -> None:
        await self.send(HandedOver(list(request_ids), reason))

    async def say_leaving(self) -> None:
        await self.send(Leaving("told to stop"))

    async def next(self, frame_type: type[T], where: Callable[[T], bool] | None = None) -> T:
        """The next frame of this type that nobody took yet."""
        while True:
            for position, frame in enumerate(self.received):
                if isinstance(frame, frame_type) and (where is None or where(frame)):
                    del self.received[position]
                    return frame
            await self._arrived.wait()

    async def next_generate(self) -> Generate:
        return await self.next(Generate)

    async def next_cancel(self) -> CancelRequest:
        return await self.next(CancelRequest)

    async def next_refusal(self) -> Refused:
        return await self.next(Refused)

    async def vanish(self) -> None:
        """Break the connection without a word."""
        await self.channel.close("vanished")

    async def run(self) -> None:
        """Receive until the link ends."""
        with contextlib.suppress(ChannelClosed):
            while True:
                frame = self._decode(await self.channel.receive())
                self.received.append(frame)
                self._arrived.set()
                self._arrived = trio.Event()
                if isinstance(frame, ApplyState) and self.applies:
                    await self.report(applied_version=frame.version)
                elif isinstance(frame, Heartbeat) and self.answers_heartbeats:
                    await self.send(Heartbeat())


def start_agent(
    nursery: trio.Nursery,
    fleet: Fleet,
    agent_id: str = "a1",
    *,
    agent_hello: Hello | None = None,
    limits: LinkLimits | None = None,
    n_frames: float = 1000,
    setup: Callable[[ScriptedAgent], None] | None = None,
) -> ScriptedAgent:
    """Connect an agent, with both ends' tasks in `nursery`; it has not said hello yet."""
    here, there = channel_pair(n_frames)
    agent = ScriptedAgent(agent_id, there, agent_hello or hello(agent_id))
    if setup is not None:
        setup(agent)

    async def serve() -> None:
        await serve_agent_link(fleet, agent_id, here, limits)
        agent.link_ended.set()

    nursery.start_soon(serve)
    nursery.start_soon(agent.run)
    return agent


@contextlib.asynccontextmanager
async def connected(
    fleet: Fleet, *agent_hellos: Hello, limits: LinkLimits | None = None
) -> AsyncGenerator[list[ScriptedAgent], None]:
    """Agents that have introduced themselves, called `a1`, `a2`, …; gone at the end."""
    async with trio.open_nursery() as nursery:
        agents = []
        for position, agent_hello in enumerate(agent_hellos, start=1):
            agent = start_agent(
                nursery, fleet, f"a{position}", agent_hello=agent_hello, limits=limits
            )
            await agent.send(agent.hello)
            agents.append(agent)
        await trio.testing.wait_all_tasks_blocked()
        yield agents
        nursery.cancel_scope.cancel()
