"""An embedding batch on its way: its chunks, and which documents are still unanswered.

Document ids are the client's and need not be unique, so chunks travel under
positions instead.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
import trio
from typing_extensions import override

from paddler.balancer.dispatch.leases import Lease
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.fleet.agent_link import RequestNews
from paddler.balancer.fleet.agents import AgentRecord
from paddler.balancer.fleet.errors import BadFrame
from paddler.balancer.requests.items import (
    EmbeddedDocument,
    EmbeddingChunkFailed,
    EmbeddingItem,
    EmbeddingStart,
    GenerationError,
)
from paddler.balancer.requests.observations import RequestOutcome
from paddler.balancer.requests.progress import Phase, Progress
from paddler.concurrency.mailbox import Mailbox, MailboxFull
from paddler.messages.embeddings import (
    DocumentFailed,
    EmbeddingDocument,
    EmbeddingResult,
    GenerateEmbeddingBatch,
)
from paddler.messages.link import Embed, EmbeddingEvents
from paddler.messages.state import PoolingType


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


class EmbeddingBatch:
    """What the chunks of a batch share.

    Args:
        request: As the client sent it.
        outbox: Where results go, in any order.
        request_id: For the log.
        sizes: The chunks' sizes.

    Attributes:
        hints: What the choice of a slot depends on: with the first one, all
            chunks are bound to the same state.
        chunks: Those that nobody works on.
        scope: Cancelled when the batch fails.
        on_start: Called once, when the first chunk has a slot.
    """

    def __init__(
        self,
        request: GenerateEmbeddingBatch,
        outbox: Mailbox[EmbeddingItem],
        request_id: str,
        sizes: Sequence[int],
    ) -> None:
        self._outbox = outbox
        self._is_started = False
        self.request_id = request_id
        self.normalization = request.normalization_method
        self.hints = SlotHints(kind=RequestKind.EMBEDDING)
        self.scope = trio.CancelScope()
        self.on_start: Callable[[EmbeddingStart], None] | None = None
        documents = iter(request.input_batch)
        self.chunks = deque(
            ChunkProgress(self, [next(documents) for _ in range(size)]) for size in sizes
        )

    def begin(self, lease: Lease, agent: AgentRecord) -> None:
        """A chunk has a slot."""
        if self._is_started:
            return
        self._is_started = True
        self.hints = dataclasses.replace(self.hints, state_version=lease.state_version)
        if self.on_start is not None:
            self.on_start(EmbeddingStart(agent.name))

    def post(self, item: EmbeddingItem) -> None:
        """Pass on a result.

        Raises:
            MailboxFull: The outbox is not read fast enough.
        """
        self._outbox.post(item)

    def fail(self, error: GenerationError) -> None:
        """End the whole batch with an error."""
        self._outbox.close_with(error)
        self.scope.cancel()


class ChunkProgress(Progress):
    """A chunk's unanswered documents; each is answered exactly once.

    Args:
        batch: What it is a part of.
        documents: As the client sent them.
    """

    kind: ClassVar[RequestKind] = RequestKind.EMBEDDING

    def __init__(self, batch: EmbeddingBatch, documents: Sequence[EmbeddingDocument]) -> None:
        super().__init__(batch.request_id)
        self._batch = batch
        self._pending = dict(enumerate(documents))
        self._pooling_type: PoolingType = "Unspecified"

    @property
    @override
    def hints(self) -> SlotHints:
        """Those of the whole batch."""
        return self._batch.hints

    @override
    def begin(self, lease: Lease, agent: AgentRecord) -> None:
        super().begin(lease, agent)
        model = agent.description
        self._pooling_type = (model.pooling_type if model is not None else None) or "Unspecified"
        self._batch.begin(lease, agent)

    @override
    def order(self, request_id: int) -> Embed:
        return Embed(
            request_id=request_id,
            documents=[
                EmbeddingDocument(id=str(position), content=document.content)
                for position, document in self._pending.items()
            ],
            normalization=self._batch.normalization,
        )

    @override
    def take(self, news: RequestNews) -> bool:
        if not isinstance(news, EmbeddingEvents):
            raise BadFrame("a generation's events answer an embedding chunk")
        if self._phase is Phase.RUNNING:
            try:
                self._take_results(news)
            except MailboxFull as full:
                self._fail_for_slow_reader(full)
        return news.done or news.error is not None

    def _take_results(self, news: EmbeddingEvents) -> None:
        self.last_sign_at = trio.current_time()
        for result in news.results:
            position = int(result.document_id) if result.document_id.isdecimal() else -1
            document = self._pending.pop(position, None)
            if document is not None:
                self.has_advanced = True
                self._answer(msgspec.structs.replace(result, document_id=document.id))
        if news.error is not None:
            self._batch.post(EmbeddingChunkFailed(self._agent_name, news.error))
            self._end(RequestOutcome.FAILED)
        elif news.done:
            for document in self._pending.values():
                self._answer(DocumentFailed(document.id, "the agent left the document out"))
            self._end(RequestOutcome.DONE)

    @override
    def _tell(self, error: GenerationError) -> None:
        self._batch.fail(error)

    @property
    def _agent_name(self) -> str | None:
        return self.agent.name if self.agent is not None else None

    def _answer(self, result: EmbeddingResult) -> None:
        self._batch.post(EmbeddedDocument(self._agent_name, self._pooling_type, result))
