"""Embedding batches: chunks, each a buffered request of its own.

`Embeddings.run` is a task in the nursery of the connection that asked; its
chunks are tasks of its own nursery. At most as many chunks of a batch are
under way as the fleet has slots for embeddings, so that one large batch
neither fills the buffer nor fails because of it. Every document is answered
exactly once, also when the agent that worked on its chunk is lost.
"""

from __future__ import annotations

from typing import Protocol

import trio

from paddler.balancer.dispatch.errors import BufferTimeout, DispatchError
from paddler.balancer.dispatch.pool import SlotPool
from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.requests.embedding_progress import EmbeddingBatch, chunk_sizes
from paddler.balancer.requests.errors import EmbeddingsNotEnabled, NoAgents
from paddler.balancer.requests.items import EmbeddingItem, EmbeddingStart, GenerationError
from paddler.balancer.requests.takeover import Takeover
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.embeddings import GenerateEmbeddingBatch
from paddler.messages.state import DesiredState


class DesiredStateSource(Protocol):
    """Who knows the desired state."""

    @property
    def desired(self) -> DesiredState:
        """What the operator asked for last."""


class Embeddings:
    """Runs embedding batches.

    Args:
        takeover: Runs each chunk over agents.
        fleet: Says who makes embeddings.
        pool: Says whose turn it is.
        states: Says whether embeddings are enabled, and the chunks' size.
    """

    def __init__(
        self, *, takeover: Takeover, fleet: Fleet, pool: SlotPool, states: DesiredStateSource
    ) -> None:
        self._takeover = takeover
        self._fleet = fleet
        self._pool = pool
        self._states = states

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
        try:
            self._refuse_if_impossible()
            agents = self._fleet.serving(RequestKind.EMBEDDING)
            largest = self._states.desired.inference_parameters.embedding_batch_size
            sizes = chunk_sizes(len(request.input_batch), len(agents), largest)
            if not sizes:
                task_status.started(EmbeddingStart(None))
                return
            batch = EmbeddingBatch(request, outbox, request_id, sizes)
            n_workers = min(len(sizes), sum(agent.slots_total for agent in agents))
            await _Workers(self._takeover, self._pool, batch).run(n_workers, task_status)
        finally:
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


class _Workers:
    """The tasks that work on a batch: one leads, the others help while the buffer lets them."""

    def __init__(self, takeover: Takeover, pool: SlotPool, batch: EmbeddingBatch) -> None:
        self._takeover = takeover
        self._pool = pool
        self._batch = batch
        self._has_lead = True

    async def run(self, n_workers: int, task_status: trio.TaskStatus[EmbeddingStart]) -> None:
        """Work until every chunk has ended.

        Raises:
            DispatchError: No slot for the first one.
        """
        batch = self._batch
        refusal: DispatchError | None = None
        with batch.scope:
            async with trio.open_nursery() as nursery:

                def start(first: EmbeddingStart) -> None:
                    task_status.started(first)
                    for _ in range(n_workers - 1):
                        nursery.start_soon(self._help)

                batch.on_start = start
                try:
                    await self._takeover.run(batch.chunks.popleft())
                except DispatchError as error:
                    refusal = error
                else:
                    await self._lead()
        if refusal is not None:
            raise refusal

    async def _lead(self) -> None:
        """Work until no chunk is left; waits in the buffer also if that is full."""
        batch = self._batch
        self._has_lead = True
        while batch.chunks:
            arrival = self._pool.next_arrival()
            try:
                await self._takeover.run(batch.chunks.popleft(), arrival=arrival)
            except DispatchError as error:
                code = 504 if isinstance(error, BufferTimeout) else 503
                batch.fail(GenerationError(code, str(error)))
        self._has_lead = False

    async def _help(self) -> None:
        """Work as long as the buffer lets it; then leave the rest to the lead."""
        chunks = self._batch.chunks
        while chunks:
            chunk = chunks.popleft()
            try:
                await self._takeover.run(chunk)
            except DispatchError:
                chunks.appendleft(chunk)
                if not self._has_lead:
                    await self._lead()
                return
