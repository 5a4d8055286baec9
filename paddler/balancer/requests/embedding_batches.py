"""An embedding batch's life: chunks, each a buffered request of its own.

`Embeddings.run` is a task in the nursery of the connection that asked; its
chunks are tasks of its own nursery. At most as many chunks of a batch are
under way as the fleet has slots for embeddings, so that one large batch
neither fills the buffer nor fails because of it. Every document is answered
exactly once, also when the agent that worked on its chunk is lost.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from paddler.balancer.dispatch.buffer import Buffer
from paddler.balancer.dispatch.errors import BufferTimeout, DispatchError, ShuttingDown
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.fleet.agent_link import AgentLink
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.requests.chunk_progress import ChunkProgress
from paddler.balancer.requests.errors import EmbeddingsNotEnabled, NoAgents
from paddler.balancer.requests.items import (
    EmbeddingItem,
    EmbeddingStart,
    GenerationError,
)
from paddler.balancer.requests.leasing import observed_slot
from paddler.balancer.requests.observations import Observer, RequestOutcome
from paddler.balancer.requests.progress import Pause
from paddler.concurrency.mailbox import Mailbox, MailboxFull
from paddler.messages.embeddings import GenerateEmbeddingBatch
from paddler.messages.state import DesiredState

logger = logging.getLogger(__name__)

MAX_FRUITLESS_TAKEOVERS = 4
"""How often in a row a chunk may lose its agent without a result in between."""


class DesiredStateSource(Protocol):
    """Who knows the desired state."""

    @property
    def desired(self) -> DesiredState:
        """What the operator asked for last."""


def chunk_sizes(n_documents: int, n_agents: int, largest: int) -> list[int]:
    """How many documents each chunk gets: evenly, sizes differ by at most one.

    `min(D, max(A, ceil(D / C)))` chunks for D documents, A agents and the cap
    C = `largest`; none for no documents.
    """
    if n_documents == 0:
        return []
    n_chunks = min(n_documents, max(n_agents, -(-n_documents // largest)))
    size, n_larger = divmod(n_documents, n_chunks)
    return [size + 1] * n_larger + [size] * (n_chunks - n_larger)


class Embeddings:
    """Runs embedding batches.

    Args:
        fleet: The agents' links.
        buffer: Where slots come from.
        states: Says whether embeddings are enabled, and the chunks' size.
        item_timeout_s: Longest silence of an agent between two results.
        observer: Told of every chunk.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        buffer: Buffer,
        states: DesiredStateSource,
        item_timeout_s: float,
        observer: Observer,
    ) -> None:
        self._fleet = fleet
        self._buffer = buffer
        self._states = states
        self._item_timeout_s = item_timeout_s
        self._observer = observer
        self._running: set[_Batch] = set()

    def shut_down(self) -> None:
        """Refuse new batches and end the running ones with an error that says so."""
        self._buffer.close()
        for batch in [running for running in self._running if running.is_started]:
            batch.fail(GenerationError(503, str(ShuttingDown())))

    async def run(
        self,
        request: GenerateEmbeddingBatch,
        outbox: Mailbox[EmbeddingItem],
        *,
        request_id: str = "-",
        task_status: trio.TaskStatus[EmbeddingStart] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Embed a batch, with results going to `outbox` in any order; closed at the end.

        `request_id` is for the log. Reports `started` once the first chunk
        has a slot, at once for an empty batch. Cancelling it cancels all
        chunks and frees their slots at once.

        Raises:
            EmbeddingsNotEnabled, NoAgents: Before anything is buffered.
            BufferFull, BufferTimeout, ShuttingDown: No slot for the first
                chunk; before `started` only.
        """
        batch = _Batch(request, outbox, task_status, request_id)
        try:
            self._refuse_if_impossible()
            agents = self._fleet.serving(RequestKind.EMBEDDING)
            largest = self._states.desired.inference_parameters.embedding_batch_size
            batch.split(chunk_sizes(len(request.input_batch), len(agents), largest))
            if not batch.chunks:
                batch.begin(None, None)
                return
            n_workers = min(len(batch.chunks), sum(agent.slots_total for agent in agents))
            self._running.add(batch)
            await self._work(batch, max(1, n_workers))
        finally:
            self._running.discard(batch)
            outbox.close()

    def _refuse_if_impossible(self) -> None:
        if not self._states.desired.inference_parameters.enable_embeddings:
            disabled = "embeddings are not enabled in the desired state"
            raise EmbeddingsNotEnabled(disabled)
        records = list(self._fleet.records)
        if not records:
            nobody = "no agent is connected"
            raise NoAgents(nobody)
        kinds = [record.serves for record in records]
        if not any(kinds):
            nothing = "no agent has applied a state with a model yet"
            raise NoAgents(nothing)
        if all(kinds) and not any(RequestKind.EMBEDDING in served for served in kinds):
            incapable = "the model does not make embeddings"
            raise EmbeddingsNotEnabled(incapable)

    async def _work(self, batch: _Batch, n_workers: int) -> None:
        refusal: DispatchError | None = None
        async with trio.open_nursery() as nursery:
            batch.scope = nursery.cancel_scope

            def start_helpers() -> None:
                for _ in range(n_workers - 1):
                    nursery.start_soon(self._help, batch)

            try:
                await self._embed(batch, batch.chunks.popleft(), None, start_helpers)
            except DispatchError as error:
                refusal = error
            else:
                await self._lead(batch)
        if refusal is not None:
            raise refusal

    async def _lead(self, batch: _Batch) -> None:
        """Work until no chunk is left; waits in the buffer also if that is full."""
        batch.has_lead = True
        while batch.chunks:
            arrival = self._buffer.pool.next_arrival()
            try:
                await self._embed(batch, batch.chunks.popleft(), arrival)
            except DispatchError as error:
                batch.fail(_ending_of(error))
        batch.has_lead = False

    async def _help(self, batch: _Batch) -> None:
        """Work as long as the buffer lets it; then leave the rest to the lead."""
        while batch.chunks:
            chunk = batch.chunks.popleft()
            try:
                await self._embed(batch, chunk, None)
            except DispatchError:
                batch.chunks.appendleft(chunk)
                if not batch.has_lead:
                    await self._lead(batch)
                return

    async def _embed(
        self,
        batch: _Batch,
        chunk: ChunkProgress,
        arrival: int | None,
        on_first_lease: Callable[[], None] | None = None,
    ) -> None:
        """Embed a chunk, over several agents if they are lost.

        Raises:
            DispatchError: No slot, and the chunk never had one.
        """
        n_fruitless = 0
        has_begun = False
        while True:
            try:
                async with observed_slot(
                    self._buffer, self._observer, batch.hints, arrival=arrival
                ) as lease:
                    arrival = lease.arrival
                    link = self._fleet.link(lease.link_id)
                    if link is None:
                        continue
                    has_begun = True
                    batch.begin(link.record.name, lease.state_version)
                    if on_first_lease is not None:
                        on_first_lease()
                        on_first_lease = None
                    await self._embed_here(batch, chunk, link)
            except DispatchError as error:
                if not has_begun:
                    raise
                batch.fail(_ending_without_takeover(error, chunk))
            if chunk.pause is not Pause.GIVEN_BACK:
                return
            n_fruitless = 0 if chunk.made_progress else n_fruitless + 1
            self._observer.taken_over(chunk.agent_name)
            logger.info(
                "chunk_given_back request=%s reason=%r", batch.request_id, chunk.give_back_reason
            )
            if n_fruitless > MAX_FRUITLESS_TAKEOVERS:
                lost = f"{n_fruitless} agents in a row were lost: {chunk.give_back_reason}"
                batch.fail(GenerationError(502, lost))
                await trio.lowlevel.checkpoint()

    async def _embed_here(self, batch: _Batch, chunk: ChunkProgress, link: AgentLink) -> None:
        model = link.record.description
        pooling_type = model.pooling_type if model is not None else None
        documents = chunk.begin(link.record.name, pooling_type)
        began_at = trio.current_time()
        outcome = RequestOutcome.CANCELLED
        agent_request_id = link.embed(documents, batch.normalization, chunk)
        try:
            outcome = await self._until_ended_or_silent(batch, chunk)
        finally:
            link.forget(agent_request_id)
            self._observer.request_ended(
                RequestKind.EMBEDDING,
                link.record.name,
                outcome,
                trio.current_time() - began_at,
                None,
            )

    async def _until_ended_or_silent(self, batch: _Batch, chunk: ChunkProgress) -> RequestOutcome:
        limit_s = self._item_timeout_s
        while chunk.pause is Pause.RUNNING:
            with trio.move_on_at(chunk.last_item_at + limit_s):
                await chunk.wait()
            is_silent = trio.current_time() >= chunk.last_item_at + limit_s
            if is_silent and chunk.pause is Pause.RUNNING:
                silence = f"the agent sent nothing for {round(limit_s * 1000)} ms"
                batch.fail(GenerationError(504, silence))
                return RequestOutcome.ITEM_TIMEOUT
        if chunk.pause is Pause.GIVEN_BACK:
            return RequestOutcome.AGENT_LOST
        return RequestOutcome.FAILED if chunk.failed else RequestOutcome.DONE


class _Batch:
    """A batch on its way; its chunks are those that nobody works on."""

    def __init__(
        self,
        request: GenerateEmbeddingBatch,
        outbox: Mailbox[EmbeddingItem],
        task_status: trio.TaskStatus[EmbeddingStart],
        request_id: str,
    ) -> None:
        self._documents = request.input_batch
        self._outbox = outbox
        self._task_status = task_status
        self.normalization = request.normalization_method
        self.request_id = request_id
        self.hints = SlotHints(kind=RequestKind.EMBEDDING)
        self.chunks: deque[ChunkProgress] = deque()
        self.scope: trio.CancelScope | None = None
        self.has_lead = True
        self.is_started = False

    def split(self, sizes: Sequence[int]) -> None:
        """Make chunks of these sizes."""
        begin = 0
        for size in sizes:
            documents = self._documents[begin : begin + size]
            self.chunks.append(ChunkProgress(documents, self.post))
            begin += size

    def begin(self, agent_name: str | None, state_version: int | None) -> None:
        """A chunk has a slot; all others are bound to the same state from now on."""
        if self.is_started:
            return
        self.is_started = True
        self.hints = dataclasses.replace(self.hints, state_version=state_version)
        self._task_status.started(EmbeddingStart(agent_name))

    def post(self, item: EmbeddingItem) -> None:
        """Pass on a result."""
        try:
            self._outbox.post(item)
        except MailboxFull as full:
            slow = f"the response is not read fast enough: {full}"
            self.fail(GenerationError(503, slow))

    def fail(self, error: GenerationError) -> None:
        """End the whole batch with an error."""
        self._outbox.close_with(error)
        if self.scope is not None:
            self.scope.cancel()


def _ending_of(error: DispatchError) -> GenerationError:
    return GenerationError(504 if isinstance(error, BufferTimeout) else 503, str(error))


def _ending_without_takeover(error: DispatchError, chunk: ChunkProgress) -> GenerationError:
    if isinstance(error, ShuttingDown):
        return _ending_of(error)
    lost = f"the agent was lost ({chunk.give_back_reason}) and no other took over: {error}"
    return GenerationError(502, lost)
