"""The demo's course: start both parts, apply a state, ask, show, keep serving.

Owns two nurseries, one inside the other: the balancer's, and the agent's, which
is left first. Both are driven from outside, through the balancer's public HTTP
APIs.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.resources
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio

import paddler.agent.run
import paddler.balancer.run
from paddler.agent.settings import AgentSettings
from paddler.balancer.run import BalancerSettings, BoundAddresses
from paddler.cli.demo import client as api
from paddler.cli.demo.screen import Screen
from paddler.cli.embedded_model import embedded_model_path
from paddler.messages.state import ChatTemplate, DesiredState, InferenceParameters, ModelReference

AGENT_NAME = "demo"
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What the command line says; `once` ends the demo after the answer."""

    balancer: BalancerSettings
    slots: int
    prompt: str
    max_tokens: int
    once: bool


async def run_demo(settings: DemoSettings, screen: Screen, stop: trio.Event) -> None:
    """Runs until `stop` is set, or with `once` until the answer is there.

    Raises:
        DemoFailed: The fleet refused the state or the request.
        EmbeddedModelMissing: The demo extra is not installed.
        ListenFailed: An address cannot be listened on.
    """
    model = await _until(stop, functools.partial(_model_file, screen))
    if model is None:
        return
    balancer_stop, agent_stop = trio.Event(), trio.Event()
    async with trio.open_nursery() as balancer:
        addresses: BoundAddresses = await balancer.start(
            functools.partial(paddler.balancer.run.run, settings.balancer, stop=balancer_stop)
        )
        async with trio.open_nursery() as agent:
            await agent.start(
                functools.partial(
                    paddler.agent.run.run, _agent_settings(settings, addresses), stop=agent_stop
                )
            )
            await _until(stop, functools.partial(_show, settings, screen, addresses, model))
            if not settings.once:
                await stop.wait()
            agent_stop.set()
        balancer_stop.set()


async def _until(stop: trio.Event, action: Callable[[], Awaitable[Result]]) -> Result | None:
    """What `action` returns; None if `stop` is set first, which cancels it."""
    result = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when, stop, nursery.cancel_scope)
        result = await action()
        nursery.cancel_scope.cancel()
    return result


async def _cancel_when(stop: trio.Event, scope: trio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


async def _model_file(screen: Screen) -> Path:
    """The embedded model's file; written now if it is not there yet."""
    with screen.file_progress("Unpacking the model") as show:

        def on_progress(done: int, total: int) -> None:
            # Raises Cancelled in the worker thread, which then cleans up.
            trio.from_thread.check_cancelled()
            show(done, total)

        return await trio.to_thread.run_sync(embedded_model_path, on_progress)


def _agent_settings(settings: DemoSettings, addresses: BoundAddresses) -> AgentSettings:
    host, port = addresses.by_service["management"][0]
    return AgentSettings(
        management_host=host, management_port=port, slots=settings.slots, name=AGENT_NAME
    )


async def _show(
    settings: DemoSettings, screen: Screen, addresses: BoundAddresses, model: Path
) -> None:
    """Applies the state, asks, shows the answer, and says how to go on."""
    inference, management = addresses.url("inference"), addresses.url("management")
    request = conversation(settings.prompt, settings.max_tokens)
    async with api.open_client() as client:
        with screen.waiting("Loading the model"):
            await api.apply_state(client, management, desired_state(model))
            await api.wait_until_applied(client, management, str(model))
        screen.question(settings.prompt)
        asked_at = trio.current_time()
        first_at: float | None = None
        async with contextlib.aclosing(api.converse(client, inference, request)) as answer:
            async for item in answer:
                first_at = first_at or trio.current_time()
                if isinstance(item, api.Text):
                    screen.answer(item.text)
                else:
                    screen.finished(item, first_at - asked_at, trio.current_time() - first_at)
    if not settings.once:
        screen.addresses(inference, management, request)


def desired_state(model: Path) -> DesiredState:
    """The embedded model, with the chat template that its file lacks."""
    resources = importlib.resources.files("paddler.cli.demo")
    template = resources.joinpath("gemma_chat_template.jinja").read_text(encoding="utf-8")
    return DesiredState(
        model=ModelReference(LocalToAgent=str(model)),
        chat_template_override=ChatTemplate(content=template),
        use_chat_template_override=True,
        inference_parameters=InferenceParameters(context_size=4096),
    )


def conversation(prompt: str, max_tokens: int) -> dict[str, object]:
    """The request for an answer to `prompt`."""
    return {
        "conversation_history": [{"role": "user", "content": prompt}],
        "add_generation_prompt": True,
        "enable_thinking": False,
        "max_tokens": max_tokens,
    }
