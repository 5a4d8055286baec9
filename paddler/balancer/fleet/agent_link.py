"""One agent's connection: frames in, frames out, and the requests it carries.

`AgentLink.run` owns the link's nursery (reader, writer, keep-alive); when any
of the three ends, the link ends.

The reader only decodes and posts: what a frame means for a request is done by
that request's `RequestSink`, a plain function that never waits. The outgoing
queue is bounded: an agent that lets it fill does not read, and its link ends.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import trio

from paddler.balancer.fleet.agents import AgentRecord
from paddler.balancer.fleet.channel import ChannelClosed, FrameChannel
from paddler.balancer.fleet.errors import BadFrame, LinkEnded, PeerSilent
from paddler.balancer.fleet.questions import Questions
from paddler.concurrency.mailbox import Mailbox, MailboxFull
from paddler.messages.embeddings import EmbeddingDocument, Normalization
from paddler.messages.generation import TERMINAL_EVENTS, GenerationEvent, GenerationOrder
from paddler.messages.link import (
    AgentStatus,
    Answer,
    Answered,
    ApplyState,
    Ask,
    CacheReport,
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
    LoadReport,
    Question,
    Resume,
    ToAgent,
    Welcome,
)

__all__ = ["AgentLink", "LinkLimits", "RequestSink"]

logger = logging.getLogger(__name__)

_decode_frame = msgspec.msgpack.Decoder(FromAgent).decode
_encode_frame = msgspec.msgpack.Encoder().encode


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """Limits of one link; times in seconds.

    `heartbeat_interval_s` is the time between proofs of life that are asked
    for, `silence_s` how long an agent may be heard nothing of. A frame is
    written within `send_timeout_s`.
    """

    hello_timeout_s: float = 10.0
    heartbeat_interval_s: float = 5.0
    silence_s: float = 20.0
    send_timeout_s: float = 30.0
    close_timeout_s: float = 2.0
    max_queued_frames: int = 8192


class RequestSink(Protocol):
    """A request that runs at an agent; called by the link's reader, must not wait or raise."""

    def on_events(self, events: Sequence[GenerationEvent]) -> None:
        """Events of a generation, in order."""

    def on_embeddings(self, frame: EmbeddingEvents) -> None:
        """Results of an embedding chunk."""

    def on_load(self, report: LoadReport) -> None:
        """The agent's slots as they are now."""

    def on_given_back(self, reason: str) -> None:
        """The agent will not finish the request: it handed it over, or it is lost."""


class AgentLink:
    """The balancer's end of one link; made by `Fleet.join`.

    Args:
        record: The agent's record; this link keeps it up to date.
        on_condition: Called after `record` changed.
        on_cache_report: Called with the tips of the prompt chains the agent holds.
        limits: Times and bounds.
        balancer_version: What the agent is told to be talking to.
    """

    def __init__(
        self,
        record: AgentRecord,
        on_condition: Callable[[AgentLink], None],
        on_cache_report: Callable[[AgentRecord, list[int]], None],
        limits: LinkLimits,
        balancer_version: str,
    ) -> None:
        self.record = record
        self._balancer_version = balancer_version
        self._on_condition = on_condition
        self._on_cache_report = on_cache_report
        self._limits = limits
        self._outgoing: Mailbox[bytes] = Mailbox(limits.max_queued_frames)
        self._sinks: dict[int, RequestSink] = {}
        self._questions = Questions()
        self._request_ids = itertools.count(1)
        self._ended = trio.Event()
        self._end_reason: LinkEnded | None = None
        self._heard_at = 0.0

    @property
    def n_requests(self) -> int:
        """Requests that the agent works on."""
        return len(self._sinks)

    def generate(
        self,
        order: GenerationOrder,
        sink: RequestSink,
        *,
        prefix_chain: list[int],
        resume: Resume | None,
    ) -> int:
        """Start a generation at the agent and return its id on this link."""
        request_id = next(self._request_ids)
        self._sinks[request_id] = sink
        self._send(
            Generate(request_id=request_id, order=order, prefix_chain=prefix_chain, resume=resume)
        )
        return request_id

    def embed(
        self, documents: list[EmbeddingDocument], normalization: Normalization, sink: RequestSink
    ) -> int:
        """Start an embedding chunk at the agent and return its id on this link."""
        request_id = next(self._request_ids)
        self._sinks[request_id] = sink
        self._send(Embed(request_id=request_id, documents=documents, normalization=normalization))
        return request_id

    def forget(self, request_id: int) -> None:
        """Nobody waits for the request any more: cancel it unless the agent ended it."""
        if self._sinks.pop(request_id, None) is not None:
            self._send(CancelRequest(request_id=request_id))

    def apply(self, frame: ApplyState) -> None:
        """Tell the agent to apply a state."""
        self._send(frame)

    async def ask(self, question: Question) -> Answer | None:
        """The agent's answer; None if it could not find one, or is gone."""
        request_id = next(self._request_ids)
        self._send(Ask(request_id, question))
        return await self._questions.answer_to(request_id)

    def end(self, reason: LinkEnded) -> None:
        """End the link; the first reason is the one that is told."""
        if self._end_reason is None:
            self._end_reason = reason
            self._ended.set()

    def give_back_all(self, reason: str) -> None:
        """Tell every request that this agent will not finish it."""
        sinks, self._sinks = self._sinks, {}
        for sink in sinks.values():
            sink.on_given_back(reason)
        self._questions.give_up()

    async def run(self, channel: FrameChannel) -> LinkEnded:
        """Carry frames until the link ends, and return why."""
        self._heard_at = trio.current_time()
        self._send(Welcome(balancer_version=self._balancer_version))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, channel)
            nursery.start_soon(self._write, channel)
            nursery.start_soon(self._keep_alive)
            await self._ended.wait()
            nursery.cancel_scope.cancel()
        return self._end_reason or LinkEnded("the link ended")

    def _send(self, frame: ToAgent) -> None:
        try:
            self._outgoing.post(_encode_frame(frame))
        except MailboxFull as full:
            self.end(PeerSilent(f"the agent does not read: {full}"))

    async def _write(self, channel: FrameChannel) -> None:
        limit_s = self._limits.send_timeout_s
        try:
            while True:
                for frame in await self._outgoing.take():
                    with trio.fail_after(limit_s):
                        await channel.send(frame)
        except trio.TooSlowError:
            self.end(PeerSilent(f"the agent did not take a frame within {limit_s:g} s"))
        except ChannelClosed as closed:
            self.end(LinkEnded(str(closed)))

    async def _keep_alive(self) -> None:
        while True:
            await trio.sleep(self._limits.heartbeat_interval_s)
            if trio.current_time() - self._heard_at >= self._limits.silence_s:
                silence = f"nothing was heard of the agent for {self._limits.silence_s:g} s"
                self.end(PeerSilent(silence))
                return
            self._send(Heartbeat())

    async def _read(self, channel: FrameChannel) -> None:
        try:
            while True:
                frame = await channel.receive()
                self._heard_at = trio.current_time()
                self._take(_decode_frame(frame))
        except msgspec.DecodeError as error:
            self.end(BadFrame(f"a frame could not be understood: {error}"))
        except (ChannelClosed, BadFrame) as ended:
            self.end(ended if isinstance(ended, LinkEnded) else LinkEnded(str(ended)))

    def _take(self, message: FromAgent) -> None:
        match message:
            case EventBatch():
                self._take_events(message)
            case EmbeddingEvents():
                sink = self._sinks.get(message.request_id)
                if sink is not None:
                    if message.done or message.error is not None:
                        del self._sinks[message.request_id]
                    sink.on_embeddings(message)
            case CacheReport():
                self._on_cache_report(self.record, message.tips)
            case LoadReport():
                self.record.load = message
                for sink in self._sinks.values():
                    sink.on_load(message)
            case AgentStatus():
                self.record.status = message
                self._on_condition(self)
            case HandedOver():
                self._take_back(message)
            case Answered(request_id, answer):
                self._questions.answered(request_id, answer)
            case Leaving():
                self.record.leaving = True
                logger.info("agent_leaving agent=%s reason=%r", self.record.id, message.reason)
                self._on_condition(self)
            case Heartbeat():
                pass
            case Hello():
                repeated = "a second hello on one link"
                raise BadFrame(repeated)

    def _take_events(self, message: EventBatch) -> None:
        sinks = self._sinks
        for request in message.batch:
            events = request.events
            sink = sinks.get(request.request_id)
            if sink is None or not events:
                continue
            if isinstance(events[-1], TERMINAL_EVENTS):
                del sinks[request.request_id]
            sink.on_events(events)

    def _take_back(self, message: HandedOver) -> None:
        for request_id in message.request_ids:
            sink = self._sinks.pop(request_id, None)
            if sink is not None:
                sink.on_given_back(message.reason)
