"""The `openai` package's clients against a real balancer, and its types as judges."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import openai
import pydantic
from openai.types.responses import ResponseStreamEvent

MODEL = "gemma-3-270m-q4_k_m"
"""The id of the real model: its file's name."""

LIMIT_S = 120
T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=openai.BaseModel)

_stream_events: pydantic.TypeAdapter[ResponseStreamEvent] = pydantic.TypeAdapter(
    ResponseStreamEvent
)


def client_of(url: str, **options: object) -> openai.OpenAI:
    settings = {"max_retries": 0, "timeout": LIMIT_S, **options}
    return openai.OpenAI(base_url=f"{url}/v1", api_key="unused", **settings)  # type: ignore[arg-type]  # a test's


def async_client_of(url: str, **options: object) -> openai.AsyncOpenAI:
    settings = {"max_retries": 0, "timeout": LIMIT_S, **options}
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", **settings)  # type: ignore[arg-type]  # a test's


def run(work: Coroutine[object, object, T]) -> T:
    """Run what uses the asynchronous client; asyncio's loop lives only here."""

    async def bounded() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await work

    return asyncio.run(bounded())


def checked(answer: ModelT) -> ModelT:
    """`answer` if its type has everything it requires.

    The client builds its objects without validation; this validates what the
    server sent.
    """
    return type(answer).model_validate(answer.to_dict())


def checked_event(event: ResponseStreamEvent) -> ResponseStreamEvent:
    """The same for an event of a response's stream."""
    return _stream_events.validate_python(event.to_dict())
