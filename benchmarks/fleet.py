"""A balancer and its agents as processes, as a user would run them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import msgspec
import trio

from benchmarks.clients import request
from benchmarks.model import EngineShape
from benchmarks.processes import Program, ProgramFailed, free_port, python_command, running
from paddler.messages.state import ChatTemplate, DesiredState, InferenceParameters, ModelReference

CLI = "paddler.cli.main"
WATCHED = "benchmarks.watched"
"""Runs the same programs and counts their tasks."""
_APPLY_TIMEOUT_S = 180.0
_POLL_S = 0.1


class Balancer:
    """A running balancer, and what may be asked of it."""

    def __init__(
        self, program: Program, inference_port: int, management_port: int, openai_port: int
    ) -> None:
        self.program = program
        self.management_port = management_port
        self.inference_url = f"http://127.0.0.1:{inference_port}"
        self.openai_url = f"http://127.0.0.1:{openai_port}"
        self.management_url = f"http://127.0.0.1:{management_port}"

    async def put_state(self, state: DesiredState) -> None:
        """Tell the fleet what to serve."""
        path = "/api/v1/balancer_desired_state"
        await request(self.management_url, path, msgspec.json.encode(state), method="PUT")

    async def agents(self) -> list[dict[str, object]]:
        """The agents snapshot."""
        body = await request(self.management_url, "/api/v1/agents", method="GET")
        agents: list[dict[str, object]] = msgspec.json.decode(body)["agents"]
        return agents

    async def n_buffered(self) -> int:
        """Requests that wait for a slot."""
        body = await request(self.management_url, "/api/v1/buffered_requests", method="GET")
        return int(msgspec.json.decode(body)["buffered_requests_current"])

    async def until_serving(self, n_agents: int) -> None:
        """Wait until that many agents have applied the state; raises ProgramFailed."""
        agents: list[dict[str, object]] = []
        with trio.move_on_after(_APPLY_TIMEOUT_S):
            while True:
                agents = await self.agents()
                applied = [a for a in agents if a["state_application_status"] == "Applied"]
                if len(applied) >= n_agents:
                    return
                await trio.sleep(_POLL_S)
        raise ProgramFailed(f"the agents do not serve: {agents}")

    async def until_agents(self, n_agents: int) -> None:
        """Wait until exactly that many agents are connected."""
        while True:
            if len(await self.agents()) == n_agents:
                return
            await trio.sleep(_POLL_S)


@contextlib.asynccontextmanager
async def running_balancer(
    log_directory: Path,
    *,
    flags: Sequence[str] = (),
    module: str = CLI,
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[Balancer, None]:
    """A balancer that lets requests wait as long as it takes."""
    inference_port, management_port, openai_port = free_port(), free_port(), free_port()
    command = python_command(module, "balancer", "--log-level", "warning")
    command += ["--inference-addr", f"127.0.0.1:{inference_port}"]
    command += ["--management-addr", f"127.0.0.1:{management_port}"]
    command += ["--compat-openai-addr", f"127.0.0.1:{openai_port}"]
    command += ["--max-buffered-requests", "10000", "--buffered-request-timeout", "3600000"]
    command += ["--inference-item-timeout", "600000", *flags]
    async with running("balancer", command, log_directory, environment=environment) as program:
        await program.wait_until_listening(inference_port)
        await program.wait_until_listening(management_port)
        await program.wait_until_listening(openai_port)
        yield Balancer(program, inference_port, management_port, openai_port)


def agent_command(
    balancer: Balancer, shape: EngineShape, name: str, flags: Sequence[str], module: str = CLI
) -> list[str]:
    """The command that runs an agent with the slots and threads of `shape`."""
    command = python_command(module, "agent", "--log-level", "warning")
    command += ["--management-addr", f"127.0.0.1:{balancer.management_port}"]
    command += ["--slots", str(shape.n_slots), "--threads", str(shape.n_threads)]
    return [*command, "--name", name, *flags]


@contextlib.asynccontextmanager
async def running_fleet(
    shape: EngineShape,
    log_directory: Path,
    *,
    n_agents: int = 1,
    agent_flags: Sequence[str] = (),
    agent_module: str = CLI,
    chat_template: str | None = None,
) -> AsyncGenerator[tuple[Balancer, list[Program]], None]:
    """A balancer with agents that serve the model of `shape` with its slots and threads each."""
    async with running_balancer(log_directory) as balancer, contextlib.AsyncExitStack() as stack:
        agents = []
        for number in range(n_agents):
            name = f"agent-{number + 1}"
            command = agent_command(balancer, shape, name, agent_flags, agent_module)
            agents.append(await stack.enter_async_context(running(name, command, log_directory)))
        await balancer.put_state(desired_state(shape, chat_template=chat_template))
        await balancer.until_serving(n_agents)
        yield balancer, agents


def desired_state(
    shape: EngineShape, *, chat_template: str | None = None, enable_embeddings: bool = False
) -> DesiredState:
    """The state that makes agents run `shape`."""
    return DesiredState(
        model=ModelReference(LocalToAgent=str(shape.model)),
        chat_template_override=ChatTemplate(chat_template) if chat_template is not None else None,
        use_chat_template_override=chat_template is not None,
        inference_parameters=InferenceParameters(
            n_batch=shape.n_batch,
            context_size=shape.context_tokens,
            k_cache_dtype=shape.kv_dtype,  # type: ignore[arg-type]  # msgspec checks it
            v_cache_dtype=shape.kv_dtype,  # type: ignore[arg-type]  # msgspec checks it
            enable_embeddings=enable_embeddings,
        ),
    )
