"""A balancer with the OpenAI-compatible service, and what tests ask of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator

import httpx

from paddler.balancer.http_edge.serving.listeners import ListenAddress
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
from paddler.messages.link import Generate
from tests.support.line_clients import LineClient, asking
from tests.support.running_balancer import DESIRED, RunningBalancer, running_balancer
from tests.support.scripted_agents import ScriptedAgent

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
HELLO = [{"role": "user", "content": "Hello"}]
STARTED = GenerationStarted(slot=0, prompt_tokens=7, cached_prompt_tokens=5)


@contextlib.asynccontextmanager
async def openai_balancer(**changes: object) -> AsyncGenerator[RunningBalancer, None]:
    address = ListenAddress("--compat-openai-addr", "127.0.0.1", 0)
    settings = {"desired": DESIRED, "openai_address": address, **changes}
    async with running_balancer(**settings) as balancer:  # type: ignore[arg-type]  # a test's
        yield balancer


def url_of(balancer: RunningBalancer) -> str:
    return balancer.addresses.url("openai")


async def post(balancer: RunningBalancer, path: str, /, **body: object) -> httpx.Response:
    return await balancer.http.post(url_of(balancer) + path, content=json.dumps(body))


async def chat(balancer: RunningBalancer, /, **body: object) -> httpx.Response:
    return await post(balancer, CHAT, **{"messages": HELLO, **body})


def error_of(answer: httpx.Response) -> dict[str, object]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error, dict)
    return error


@contextlib.asynccontextmanager
async def streaming(
    balancer: RunningBalancer, path: str = CHAT, /, **body: object
) -> AsyncGenerator[LineClient, None]:
    defaults = {"messages": HELLO} if path == CHAT else {}
    async with asking(url_of(balancer), path, {**defaults, "stream": True, **body}) as client:
        yield client


async def next_data(client: LineClient) -> str:
    """The data of the next event."""
    while True:
        line = await client.line()
        if line.startswith("data: "):
            return line.removeprefix("data: ")


async def chunks_of(client: LineClient) -> list[dict[str, object]]:
    """All chunks up to `[DONE]`."""
    chunks = []
    while (data := await next_data(client)) != "[DONE]":
        chunks.append(json.loads(data))
    return chunks


def text(words: str, token_class: TokenClass = TokenClass.CONTENT) -> TokenEvent:
    return TokenEvent(token_class, words, [len(words)])


def ended(reason: FinishReason = FinishReason.END_OF_GENERATION, **usage: int) -> GenerationDone:
    timings = EngineTimings(queued_ms=0.0, prefill_ms=1.0, decode_ms=1.0, slot=0)
    counted = {"prompt_tokens": 7, "cached_prompt_tokens": 5, "content_tokens": 2, **usage}
    return GenerationDone(reason, Usage(**counted), timings)


async def answer_one(agent: ScriptedAgent, *events: GenerationEvent) -> Generate:
    """Serve the next generation with `events` in between its start and its end."""
    generate = await agent.next_generate()
    await agent.events(generate.request_id, STARTED, *events)
    return generate


def choices_of(chunk: dict[str, object]) -> list[dict[str, object]]:
    found = chunk["choices"]
    assert isinstance(found, list)
    return found


def delta_of(chunk: dict[str, object]) -> dict[str, object]:
    delta = choices_of(chunk)[0]["delta"]
    assert isinstance(delta, dict)
    return delta
