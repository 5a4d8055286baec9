"""A client of the balancer's public HTTP APIs, as small as the demo needs it.

Knows the wire contract, and nothing of the balancer's insides: what the demo
does here, any program can do.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass

import httpx
import msgspec
import trio

from paddler.messages.agents import ApplicationStatus
from paddler.messages.state import DesiredState

CONVERSATION_PATH = "/api/v1/continue_from_conversation_history"
POLL_INTERVAL_S = 0.1
TOKEN_KINDS = ("ContentToken", "ReasoningToken", "ToolCallToken", "UndeterminableToken")


class DemoFailed(Exception):
    """The fleet refused or failed; the text is for the person at the terminal."""


@dataclass(frozen=True)
class Text:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The answer is whole."""

    prompt_tokens: int
    generated_tokens: int


class _Problem(msgspec.Struct):
    description: str


class _Error(msgspec.Struct):
    error: _Problem


class _Result(msgspec.Struct):
    GeneratedToken: dict[str, object]


class _Response(msgspec.Struct):
    response: _Result


class _Item(msgspec.Struct):
    """One line of the stream."""

    Response: _Response | None = None
    Error: _Error | None = None


class _Agent(msgspec.Struct):
    issues: list[dict[str, object]]
    state_application_status: str
    model_path: str | None


class _Agents(msgspec.Struct):
    agents: list[_Agent]


class _Done(msgspec.Struct):
    usage: dict[str, int]


@contextlib.asynccontextmanager
async def open_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client for loopback: no proxies, no deadline on a stream that is silent for a while."""
    async with httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(10, read=None)) as client:
        yield client


async def apply_state(client: httpx.AsyncClient, management_url: str, state: DesiredState) -> None:
    """Tells the fleet what to serve. Raises DemoFailed."""
    response = await client.put(
        f"{management_url}/api/v1/balancer_desired_state",
        content=msgspec.json.encode(state),
        headers={"Content-Type": "application/json"},
    )
    if response.status_code != httpx.codes.NO_CONTENT:
        raise DemoFailed(f"the balancer refused the desired state: {response.text.strip()}")


async def wait_until_applied(client: httpx.AsyncClient, management_url: str, model: str) -> None:
    """Returns once an agent serves `model`. Raises DemoFailed with the agent's issues."""
    while True:
        response = await client.get(f"{management_url}/api/v1/agents")
        for agent in msgspec.json.decode(response.content, type=_Agents).agents:
            if agent.issues:
                issues = "; ".join(json.dumps(issue) for issue in agent.issues)
                raise DemoFailed(f"the agent has issues: {issues}")
            applied = agent.state_application_status == ApplicationStatus.APPLIED
            if applied and agent.model_path == model:
                return
        await trio.sleep(POLL_INTERVAL_S)


async def converse(
    client: httpx.AsyncClient, inference_url: str, request: Mapping[str, object]
) -> AsyncGenerator[Text | Finished, None]:
    """The answer to a conversation, piece by piece; to be closed. Raises DemoFailed."""
    async with client.stream("POST", inference_url + CONVERSATION_PATH, json=request) as response:
        if response.status_code != httpx.codes.OK:
            body = (await response.aread()).decode("utf-8", "replace")
            raise DemoFailed(f"the balancer answered {response.status_code}: {body.strip()}")
        failure: DemoFailed | None = None
        # Read to its end: httpx leaves an abandoned stream to the garbage collector.
        async for line in response.aiter_lines():
            item = _read_item(line)
            if isinstance(item, DemoFailed):
                failure = item
            elif failure is None:
                yield item
        if failure is not None:
            raise failure


def _read_item(line: str) -> Text | Finished | DemoFailed:
    item = msgspec.json.decode(line, type=_Item)
    if item.Error is not None:
        return DemoFailed(item.Error.error.description)
    if item.Response is None:
        return DemoFailed(f"the balancer sent something unknown: {line}")
    kind, payload = next(iter(item.Response.response.GeneratedToken.items()))
    if kind in TOKEN_KINDS:
        return Text(str(payload))
    if kind == "Done":
        usage = msgspec.convert(payload, _Done).usage
        outputs = ("content", "reasoning", "tool_call", "undeterminable")
        return Finished(
            prompt_tokens=usage["prompt_tokens"],
            generated_tokens=sum(usage[f"{name}_tokens"] for name in outputs),
        )
    return DemoFailed(f"{kind}: {payload}")
