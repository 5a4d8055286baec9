"""The routes of the inference service."""

from __future__ import annotations

import dataclasses
import functools
import secrets
from collections.abc import Awaitable, Callable

from paddler.balancer.deployments.readiness import reason_not_ready
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.sockets import TRY_AGAIN_LATER, Socket
from paddler.balancer.http_edge.streaming import (
    Answer,
    SendChunk,
    StreamedAnswer,
    text_answer,
)
from paddler.balancer.requests.embedding_batches import Embeddings
from paddler.balancer.requests.generations import Generations
from paddler.balancer.requests.items import EmbeddingItem, GenerationItem, GenerationStart
from paddler.balancer.services.inference.embedding_json import EmbeddingEncoder
from paddler.balancer.services.inference.limits import DEFAULT_INFERENCE_LIMITS, InferenceLimits
from paddler.balancer.services.inference.ndjson import GenerationEncoder, error_envelope
from paddler.balancer.services.inference.socket import InferenceSocket
from paddler.balancer.services.inference.translation import GenerationRequest, generation_order
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.decoding import decode_json
from paddler.messages.embeddings import GenerateEmbeddingBatch
from paddler.messages.inference import ContinueFromConversationHistory, ContinueFromRawPrompt


def new_request_id() -> str:
    """A name for a request whose client gave none."""
    return secrets.token_urlsafe(12)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferenceService:
    """What the inference service needs of the balancer.

    `make_request_id` names requests that arrive over HTTP.
    """

    generations: Generations
    embeddings: Embeddings
    fleet: Fleet
    limits: InferenceLimits = DEFAULT_INFERENCE_LIMITS
    make_request_id: Callable[[], str] = new_request_id
    open_sockets: set[InferenceSocket] = dataclasses.field(default_factory=set)

    def make_app(self, *, edge_limits: EdgeLimits, cors: CorsPolicy) -> EdgeApp:
        """The service's routes, ready to be served."""
        app = EdgeApp("inference", limits=edge_limits, cors=cors, render_error=self._render_error)
        app.add_route("GET", "/health", self._health)
        app.add_route("GET", "/ready", self._ready)
        app.add_route("POST", "/api/v1/continue_from_raw_prompt", self._raw_prompt)
        app.add_route(
            "POST", "/api/v1/continue_from_conversation_history", self._conversation_history
        )
        app.add_route("POST", "/api/v1/generate_embedding_batch", self._embedding_batch)
        app.add_socket_route("/api/v1/inference_socket", self._socket)
        return app

    def _render_error(self, code: int, description: str) -> Answer:
        return Answer(
            status=code, body=error_envelope(self.make_request_id(), code, description) + b"\n"
        )

    async def _health(self, request: EdgeRequest) -> Answer:
        return text_answer("OK")

    async def _ready(self, request: EdgeRequest) -> Answer:
        reason = reason_not_ready(self.fleet)
        return text_answer("OK") if reason is None else text_answer(reason, 503)

    async def _raw_prompt(self, request: EdgeRequest) -> StreamedAnswer:
        return await self._generate(request, decode_json(request.content, ContinueFromRawPrompt))

    async def _conversation_history(self, request: EdgeRequest) -> StreamedAnswer:
        asked = decode_json(request.content, ContinueFromConversationHistory)
        return await self._generate(request, asked)

    async def _generate(self, request: EdgeRequest, asked: GenerationRequest) -> StreamedAnswer:
        order = generation_order(asked, self.limits)
        outbox: Mailbox[GenerationItem] = Mailbox(self.limits.max_waiting_items)
        request_id = self.make_request_id()
        run = functools.partial(self.generations.run, request_id=request_id)
        start: GenerationStart = await request.nursery.start(run, order, outbox)
        encoder = GenerationEncoder(request_id, start, include_timings=bool(asked.include_timings))

        async def write(send: SendChunk) -> None:
            async for items in outbox:
                await send_lines(send, encoder.encode(items))

        return StreamedAnswer(write=write)

    async def _embedding_batch(self, request: EdgeRequest) -> StreamedAnswer:
        batch = decode_json(request.content, GenerateEmbeddingBatch)
        outbox: Mailbox[EmbeddingItem] = Mailbox(self.limits.max_waiting_items)
        request_id = self.make_request_id()
        run = functools.partial(self.embeddings.run, request_id=request_id)
        await request.nursery.start(run, batch, outbox)
        encoder = EmbeddingEncoder(request_id, batch.normalization_method)

        async def write(send: SendChunk) -> None:
            async for items in outbox:
                await send_lines(send, encoder.encode(items))
            if not encoder.is_failed:
                await send_lines(send, [encoder.done()])

        return StreamedAnswer(write=write)

    async def _socket(self, socket: Socket) -> None:
        if len(self.open_sockets) >= self.limits.max_sockets:
            await socket.close(TRY_AGAIN_LATER, "too many inference sockets are open")
            return
        inference_socket = InferenceSocket(
            socket, generations=self.generations, fleet=self.fleet, limits=self.limits
        )
        self.open_sockets.add(inference_socket)
        try:
            await inference_socket.run()
        finally:
            self.open_sockets.discard(inference_socket)


async def send_lines(send: Callable[[bytes], Awaitable[None]], objects: list[bytes]) -> None:
    """Send `objects` as one chunk of lines; nothing if there are none."""
    if objects:
        objects.append(b"")
        await send(b"\n".join(objects))
