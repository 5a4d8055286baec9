"""A whole agent on virtual time: scripted engine, real WebSocket frames over memory streams.

The far end is a `StandIn` for the balancer, which does what a test tells it to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio
import trio.testing
import trio_websocket

from paddler.agent.model_sources.errors import ModelFileDoesNotExist
from paddler.agent.model_sources.progress import DownloadReporter
from paddler.agent.run import run_agent
from paddler.agent.settings import AgentSettings
from paddler.messages.agents import ApplicationStatus
from paddler.messages.generation import (
    TERMINAL_EVENTS,
    GenerationDone,
    GenerationEvent,
    GenerationFailed,
    GenerationOrder,
    GenerationRefused,
    RawPrompt,
    TokenEvent,
)
from paddler.messages.link import (
    AgentStatus,
    ApplyState,
    CancelRequest,
    EventBatch,
    FromAgent,
    Generate,
    Hello,
    Refused,
    Resume,
    ToAgent,
    Welcome,
)
from paddler.messages.state import (
    ApplicableState,
    ChatTemplate,
    InferenceParameters,
    ModelReference,
)
from tests.support.scripted_engine import ModelScript, ScriptedBackend, ScriptedEngine

FrameT = TypeVar("FrameT")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FromAgent).decode


def state_of(
    model: str | None = "model.gguf",
    *,
    template: str | None = None,
    projector: str | None = None,
    **parameters: Any,
) -> ApplicableState:
    """An applicable state with the local model file `model`."""
    fresh = InferenceParameters()
    return ApplicableState(
        chat_template_override=None if template is None else ChatTemplate(template),
        inference_parameters=msgspec.structs.replace(fresh, **parameters),
        model="None" if model is None else ModelReference(LocalToAgent=f"/models/{model}"),
        multimodal_projection=(
            "None" if projector is None else ModelReference(LocalToAgent=f"/models/{projector}")
        ),
    )


class StandInLink:
    """The balancer's end of one link: keeps every frame of the agent."""

    def __init__(self, connection: trio_websocket.WebSocketConnection) -> None:
        self._connection = connection
        self._received = trio.Event()
        self.frames: list[FromAgent] = []
        self.closed = trio.Event()

    async def send(self, frame: ToAgent) -> None:
        await self._connection.send_message(_encode(frame))

    async def receive_all(self) -> None:
        """Keep what comes until the agent closes the link."""
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                message = await self._connection.get_message()
                assert isinstance(message, bytes)
                self.frames.append(_decode(message))
                self._received.set()
                self._received = trio.Event()
        self.closed.set()

    async def break_off(self) -> None:
        """Lose the link, without a closing handshake."""
        await self._connection._stream.aclose()

    async def close(self) -> None:
        await self._connection.aclose()

    async def until(self, condition: Callable[[], bool], *, within_s: float = 600) -> None:
        """Wait for frames until `condition` holds."""
        with trio.fail_after(within_s):
            while not condition():
                await self._received.wait()

    def of(self, frame_type: type[FrameT]) -> list[FrameT]:
        """The frames of a type, in order."""
        return [frame for frame in self.frames if isinstance(frame, frame_type)]

    async def first(self, frame_type: type[FrameT]) -> FrameT:
        """The first frame of a type, once it is there."""
        await self.until(lambda: bool(self.of(frame_type)))
        return self.of(frame_type)[0]

    @property
    def status(self) -> AgentStatus | None:
        """The last status the agent sent."""
        statuses = self.of(AgentStatus)
        return statuses[-1] if statuses else None

    async def until_status(self, status: ApplicationStatus, version: int) -> AgentStatus:
        """Wait until the agent says `status` about `version`."""

        def told() -> bool:
            last = self.status
            return last is not None and last.status is status and last.attempted_version == version

        await self.until(told)
        last = self.status
        assert last is not None
        return last

    def events(self, request_id: int) -> list[GenerationEvent]:
        """What a request has told, in order."""
        return [
            event
            for frame in self.of(EventBatch)
            for request in frame.batch
            if request.request_id == request_id
            for event in request.events
        ]

    async def apply(
        self, state: ApplicableState, version: int = 1, drain_timeout_s: float = 10.0
    ) -> None:
        await self.send(ApplyState(version, state, drain_timeout_s))

    async def serve(self, state: ApplicableState, version: int = 1) -> AgentStatus:
        """Tell the agent a state and wait until it serves it."""
        await self.apply(state, version)
        return await self.until_status(ApplicationStatus.APPLIED, version)

    async def generate(
        self, request_id: int, order: GenerationOrder | str, resume: Resume | None = None
    ) -> None:
        if isinstance(order, str):
            order = GenerationOrder(prompt=RawPrompt(order))
        await self.send(Generate(request_id=request_id, order=order, resume=resume))

    async def cancel(self, request_id: int) -> None:
        await self.send(CancelRequest(request_id))

    async def until_events(self, request_id: int, n_events: int) -> list[GenerationEvent]:
        """Wait until a request has told that many events."""
        await self.until(lambda: len(self.events(request_id)) >= n_events)
        return self.events(request_id)

    async def ending(self, request_id: int, *, within_s: float = 600) -> GenerationEvent:
        """The terminal event of a generation, once it is there."""

        def ended() -> bool:
            events = self.events(request_id)
            return bool(events) and isinstance(events[-1], TERMINAL_EVENTS)

        await self.until(ended, within_s=within_s)
        return self.events(request_id)[-1]

    async def done(self, request_id: int, *, within_s: float = 600) -> GenerationDone:
        """The end of a generation that ends well."""
        ending = await self.ending(request_id, within_s=within_s)
        assert isinstance(ending, GenerationDone), ending
        return ending

    async def failed(self, request_id: int) -> GenerationFailed:
        """The end of a generation that fails."""
        ending = await self.ending(request_id)
        assert isinstance(ending, GenerationFailed), ending
        return ending

    async def refused(self, request_id: int) -> GenerationRefused:
        """The end of a generation that is refused."""
        ending = await self.ending(request_id)
        assert isinstance(ending, GenerationRefused), ending
        return ending

    def text(self, request_id: int) -> str:
        """The text a generation has told so far."""
        return "".join(
            event.text for event in self.events(request_id) if isinstance(event, TokenEvent)
        )


class StandIn:
    """The balancer's place: takes the agent's connections, or lets them fail."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        send, receive = trio.open_memory_channel[trio.abc.Stream](8)
        self._incoming, self._accepted = send, receive
        self.reachable = True
        self.lockstep = False
        self.dialled_at: list[float] = []

    @contextlib.asynccontextmanager
    async def dial(self) -> AsyncGenerator[trio_websocket.WebSocketConnection, None]:
        """The agent's `Dialer`."""
        self.dialled_at.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if not self.reachable:
            raise trio_websocket.HandshakeError("connection refused")
        pair = (
            trio.testing.lockstep_stream_pair
            if self.lockstep
            else (trio.testing.memory_stream_pair)
        )
        client, server = pair()
        async with trio.open_nursery() as nursery:
            self._incoming.send_nowait(server)
            connection = await trio_websocket.wrap_client_stream(
                nursery,
                client,  # type: ignore[arg-type]  # any stream does, its types say less
                "balancer",
                "/api/v1/agent_socket/agent",
            )
            try:
                yield connection
            finally:
                with trio.move_on_after(0.1, shield=True):
                    await connection.aclose()
                nursery.cancel_scope.cancel()

    async def accept(self, *, reads: bool = True) -> StandInLink:
        """Take the agent's next connection; `reads` keeps what it says."""
        with trio.fail_after(600):
            stream = await self._accepted.receive()
        request = await trio_websocket.wrap_server_stream(self._nursery, stream)
        link = StandInLink(await request.accept())
        if reads:
            self._nursery.start_soon(link.receive_all)
        return link

    async def welcome(self) -> StandInLink:
        """Take the agent's next connection and register it."""
        link = await self.accept()
        await link.first(Hello)
        await link.send(Welcome("test"))
        return link

    async def refuse(self, reason: str) -> StandInLink:
        """Take the agent's next connection and refuse it."""
        link = await self.accept()
        await link.first(Hello)
        await link.send(Refused(reason))
        return link


class ScriptedFetcher:
    """Finds local files as long as they are in `files` (all, if that is None)."""

    def __init__(self) -> None:
        self.files: set[str] | None = None
        self.error: Exception | None = None
        self.n_fetched = 0
        self.fetch_s = 0.0

    async def fetch(self, model: ModelReference, report: DownloadReporter) -> Path:
        self.n_fetched += 1
        await trio.sleep(self.fetch_s)
        if self.error is not None:
            raise self.error
        path = Path(str(model.LocalToAgent))
        if self.files is not None and path.name not in self.files:
            raise ModelFileDoesNotExist(f"there is no file {path}")
        return path


class Harness:
    """An agent that runs, and everything around it."""

    def __init__(
        self,
        backend: ScriptedBackend,
        fetcher: ScriptedFetcher,
        balancer: StandIn,
        stop: trio.Event,
    ) -> None:
        self.backend = backend
        self.fetcher = fetcher
        self.balancer = balancer
        self.stop = stop
        self.stopped = trio.Event()

    @property
    def engine(self) -> ScriptedEngine:
        """The engine opened last."""
        return self.backend.opened[-1]


@contextlib.asynccontextmanager
async def running_agent(
    scripts: dict[str, ModelScript] | None = None,
    *,
    slots: int = 2,
    reachable: bool = True,
    **settings: object,
) -> AsyncGenerator[Harness, None]:
    """An agent that dials a stand-in; cancelled at the end if it still runs."""
    agent_settings = dataclasses.replace(
        AgentSettings(management_host="balancer", management_port=1, slots=slots, name="agent-1"),
        **settings,  # type: ignore[arg-type]  # the names are checked when it runs
    )
    backend = ScriptedBackend(scripts or {"model.gguf": ModelScript()})
    async with trio.open_nursery() as nursery:
        harness = Harness(backend, ScriptedFetcher(), StandIn(nursery), trio.Event())

        harness.balancer.reachable = reachable

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            await run_agent(
                agent_settings,
                backend=backend,
                fetcher=harness.fetcher,
                dial=harness.balancer.dial,
                random_source=random.Random(7),
                stop=harness.stop,
                task_status=task_status,
            )
            harness.stopped.set()

        await nursery.start(run)
        yield harness
        nursery.cancel_scope.cancel()
