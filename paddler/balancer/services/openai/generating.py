"""From a request's orders to an answer: what all endpoints that generate share.

An endpoint says what its answer looks like with an `AnswerWriter`; streamed or
not, the same items go through it. Nothing is sent before the first choice has
something to tell, so that what fails until then has its true status.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from time import time

from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.streaming import (
    EVENT_STREAM,
    Answer,
    AnyAnswer,
    SendChunk,
    StreamedAnswer,
)
from paddler.balancer.requests.items import GenerationItem, GenerationStart
from paddler.balancer.services.openai.choices import Choices, GenerationRunner
from paddler.balancer.services.openai.errors import OpenAiError
from paddler.balancer.services.openai.limits import OpenAiLimits
from paddler.balancer.services.openai.served_models import check_model, served_by
from paddler.balancer.services.openai.sse import STREAM_HEADERS
from paddler.messages.generation import GenerationOrder

logger = logging.getLogger(__name__)


def new_suffix() -> str:
    """The random part of an id."""
    return secrets.token_hex(12)


def unix_time() -> int:
    """Seconds since 1970."""
    return int(time())


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenAiContext:
    """What the endpoints need of the balancer; ids and the clock are injected."""

    runner: GenerationRunner
    fleet: Fleet
    limits: OpenAiLimits
    accept_any_model: bool = False
    make_suffix: Callable[[], str] = new_suffix
    now: Callable[[], int] = unix_time

    def check_model(self, asked: str | None) -> None:
        """Refuse a model that is not served; see `served_models.check_model`."""
        check_model(self.fleet, asked, accept_any=self.accept_any_model)

    def model_of(self, start: GenerationStart, asked: str | None) -> str:
        """The id of the model that answers; if its agent is gone already, what was asked for."""
        return served_by(self.fleet, start.agent_id) or asked or "unknown"


class AnswerWriter(ABC):
    """How one endpoint's answer looks."""

    @abstractmethod
    def begin(self) -> bytes:
        """What a stream starts with."""

    @abstractmethod
    def write(self, choice: int, items: Sequence[GenerationItem]) -> bytes:
        """What of these items goes into a stream; keeps what the whole answer needs.

        Raises:
            OpenAiError: The choice failed.
        """

    @abstractmethod
    def end(self) -> bytes:
        """What a stream ends with, once all choices have ended."""

    @abstractmethod
    def break_off(self, error: OpenAiError) -> bytes:
        """What a stream ends with that cannot go on."""

    @abstractmethod
    def whole(self) -> bytes:
        """The answer in one piece, once all choices have ended."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, ready to be run; `share_prompt`: all orders have the same prompt."""

    orders: Sequence[GenerationOrder]
    model: str | None
    is_stream: bool
    share_prompt: bool


async def generate(
    context: OpenAiContext,
    request: EdgeRequest,
    asked: Asked,
    *,
    answer_id: str,
    make_writer: Callable[[str], AnswerWriter],
) -> AnyAnswer:
    """Run `asked` in the request's nursery and answer with what a writer makes of it.

    `make_writer` gets the id of the model that answers.

    Raises:
        OpenAiError: Failed before the answer was begun, or while it was gathered.
        DispatchError, GenerationRefusal: No slot.
    """
    context.check_model(asked.model)
    choices = Choices(
        context.runner,
        asked.orders,
        request.nursery,
        request_id=answer_id,
        share_prompt=asked.share_prompt,
    )
    start = await choices.begin()
    writer = make_writer(context.model_of(start, asked.model))
    if asked.is_stream:
        return StreamedAnswer(
            write=lambda send: _stream(choices, writer, send, answer_id),
            content_type=EVENT_STREAM,
            headers=STREAM_HEADERS,
        )
    while batch := await choices.take():
        for choice, items in batch:
            writer.write(choice, items)
    return Answer(body=writer.whole())


async def _stream(choices: Choices, writer: AnswerWriter, send: SendChunk, answer_id: str) -> None:
    text = writer.begin()
    try:
        while batch := await choices.take():
            text += b"".join([writer.write(choice, items) for choice, items in batch])
            if text:
                await send(text)
                text = b""
    except OpenAiError as error:
        logger.info("stream_broke_off request=%s reason=%r", answer_id, error.message)
        await send(text + writer.break_off(error))
        return
    await send(writer.end())
