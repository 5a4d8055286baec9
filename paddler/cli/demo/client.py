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

from paddler.messages.agents import ApplicationStatus
from paddler.messages.state import DesiredState

CONVERSATION_PATH = "/api/v1/continue_from_conversation_history"
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
    async with (
        client.stream("GET", f"{management_url}/api/v1/agents/stream") as response,
        contextlib.aclosing(_lines(response)) as lines,
    ):
        async for line in lines:
            if not line.startswith("data:"):
                continue
            for agent in json.loads(line.removeprefix("data:"))["agents"]:
                if agent["issues"]:
                    raise DemoFailed(f"the agent has issues: {_issues_in_words(agent['issues'])}")
                applied = agent["state_application_status"] == ApplicationStatus.APPLIED
                if applied and agent["model_path"] == model:
                    return
    raise DemoFailed("the balancer closed the stream of agents")


async def converse(
    client: httpx.AsyncClient, inference_url: str, request: Mapping[str, object]
) -> AsyncGenerator[Text | Finished, None]:
    """The answer to a conversation, piece by piece; to be closed. Raises DemoFailed."""
    async with client.stream("POST", inference_url + CONVERSATION_PATH, json=request) as response:
        if response.status_code != httpx.codes.OK:
            body = (await response.aread()).decode("utf-8", "replace")
            raise DemoFailed(f"the balancer answered {response.status_code}: {body.strip()}")
        async with contextlib.aclosing(_lines(response)) as lines:
            async for line in lines:
                yield _read_item(line)


def _lines(response: httpx.Response) -> AsyncGenerator[str, None]:
    """The response's lines; a generator that its user closes."""
    lines = response.aiter_lines()
    assert isinstance(lines, AsyncGenerator)
    return lines


def _read_item(line: str) -> Text | Finished:
    item = msgspec.json.decode(line, type=_Item)
    if item.Error is not None:
        raise DemoFailed(item.Error.error.description)
    if item.Response is None:
        raise DemoFailed(f"the balancer sent something unknown: {line}")
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
    raise DemoFailed(f"{kind}: {payload}")


def _issues_in_words(issues: list[dict[str, object]]) -> str:
    return "; ".join(
        f"{kind} {json.dumps(detail)}" for issue in issues for kind, detail in issue.items()
    )
