"""A whole balancer on free ports, and scripted agents that dial it over real WebSockets."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Callable

import httpx
import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream
from typing_extensions import override

from paddler.balancer.fleet.channel import ChannelClosed
from paddler.balancer.http_edge.serving.listeners import ListenAddress
from paddler.balancer.run import BalancerSettings, BoundAddresses, run
from paddler.messages.link import Hello
from paddler.messages.state import DesiredState, InferenceParameters, ModelReference
from tests.support.memory_channels import MemoryChannel
from tests.support.scripted_agents import ScriptedAgent, hello
from tests.support.waiting import until

DESIRED = DesiredState(model=ModelReference(LocalToAgent="/model.gguf"))


class WebSocketChannel(MemoryChannel):
    """The agent's end of a real link."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self.close_reason: str | None = None

    @override
    async def send(self, frame: bytes) -> None:
        try:
            await self._connection.send_message(frame)
        except ConnectionClosed as closed:
            raise ChannelClosed(str(closed)) from None

    @override
    async def receive(self) -> bytes:
        try:
            frame = await self._connection.get_message()
        except ConnectionClosed as closed:
            self.close_reason = closed.reason.reason if closed.reason is not None else None
            raise ChannelClosed(str(closed)) from None
        assert isinstance(frame, bytes)
        return frame

    @override
    async def close(self, reason: str) -> None:
        await self._connection.aclose(1000, reason)


@dataclasses.dataclass
class RunningBalancer:
    """A balancer that runs in this process."""

    addresses: BoundAddresses
    stop: trio.Event
    stopped: trio.Event
    nursery: trio.Nursery
    http: httpx.AsyncClient
    streams: list[trio.SocketStream] = dataclasses.field(default_factory=list)

    @property
    def inference_url(self) -> str:
        return self.addresses.url("inference")

    @property
    def management_url(self) -> str:
        return self.addresses.url("management")

    async def connect(self, service: str) -> trio.SocketStream:
        """A raw connection, closed with the balancer: trio-websocket closes none."""
        host, port = self.addresses.by_service[service][0]
        stream = await trio.open_tcp_stream(host, port)
        self.streams.append(stream)
        return stream

    async def put_state(self, desired: DesiredState = DESIRED) -> None:
        answer = await self.http.put(
            f"{self.management_url}/api/v1/balancer_desired_state",
            content=msgspec.json.encode(desired),
        )
        assert answer.status_code == 204, answer.text

    async def join(
        self,
        agent_id: str = "a1",
        *,
        slots: int = 1,
        agent_hello: Hello | None = None,
        setup: Callable[[ScriptedAgent], None] | None = None,
        is_ready: bool = True,
    ) -> ScriptedAgent:
        """Connect an agent; it serves once this returns, unless told otherwise."""
        stream = await self.connect("management")
        connection = await wrap_client_stream(
            self.nursery,
            stream,
            "127.0.0.1",
            f"/api/v1/agent_socket/{agent_id}",
            message_queue_size=1000,
            max_message_size=1 << 28,
        )
        agent = ScriptedAgent(
            agent_id, WebSocketChannel(connection), agent_hello or hello(agent_id, slots)
        )
        if setup is not None:
            setup(agent)
        self.nursery.start_soon(agent.run)
        await agent.send(agent.hello)
        if is_ready:
            await self.until_agent(agent_id, lambda shown: shown["slots_total"] == slots)
        return agent

    async def agents(self) -> list[dict[str, object]]:
        answer = await self.http.get(f"{self.management_url}/api/v1/agents")
        found = answer.json()["agents"]
        assert isinstance(found, list)
        return found

    async def until_agent(
        self, agent_id: str, condition: Callable[[dict[str, object]], bool]
    ) -> None:
        while True:
            for shown in await self.agents():
                if shown["id"] == agent_id and condition(shown):
                    return

    async def until_slots_processing(self, n_slots: int) -> None:
        while True:
            shown = await self.agents()
            if sum(int(str(agent["slots_processing"])) for agent in shown) == n_slots:
                return

    async def until_buffered(self, n_requests: int) -> None:
        url = f"{self.management_url}/api/v1/buffered_requests"
        while (await self.http.get(url)).json() != {"buffered_requests_current": n_requests}:
            pass


def settings_for_tests(**changes: object) -> BalancerSettings:
    settings = BalancerSettings(
        inference_address=ListenAddress("--inference-addr", "127.0.0.1", 0),
        management_address=ListenAddress("--management-addr", "127.0.0.1", 0),
    )
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]  # a test's


def desired_state(**parameters: object) -> DesiredState:
    return msgspec.structs.replace(
        DESIRED,
        inference_parameters=InferenceParameters(**parameters),  # type: ignore[arg-type]  # a test's
    )


@contextlib.asynccontextmanager
async def running_balancer(
    *, desired: DesiredState | None = DESIRED, limit_s: float = 20.0, **changes: object
) -> AsyncGenerator[RunningBalancer, None]:
    """A balancer with the given settings; stopped gracefully at the end."""
    settings = settings_for_tests(**changes)
    stop, stopped = trio.Event(), trio.Event()

    async def serve(*, task_status: trio.TaskStatus[BoundAddresses]) -> None:
        await run(settings, stop=stop, task_status=task_status)
        stopped.set()

    async with (
        trio.open_nursery() as balancer_nursery,
        trio.open_nursery() as nursery,
        httpx.AsyncClient(timeout=limit_s, limits=httpx.Limits(max_connections=None)) as http,
    ):
        addresses = await balancer_nursery.start(serve)
        balancer = RunningBalancer(addresses, stop, stopped, nursery, http)
        try:
            with trio.fail_after(limit_s):
                if desired is not None:
                    await balancer.put_state(desired)
                yield balancer
            stop.set()
            with trio.fail_after(6):
                await stopped.wait()
            nursery.cancel_scope.cancel()
        finally:
            for stream in balancer.streams:
                stream.socket.close()


__all__ = ["until"]
