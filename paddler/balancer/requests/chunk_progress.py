"""One embedding chunk on its way: which documents are still unanswered.

Fed by the link's reader, which must not wait. Document ids are the client's
and need not be unique, so chunks travel under positions instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import trio

from paddler.balancer.requests.items import (
    EmbeddedDocument,
    EmbeddingChunkFailed,
    EmbeddingItem,
)
from paddler.balancer.requests.progress import Pause
from paddler.messages.embeddings import DocumentFailed, EmbeddingDocument, EmbeddingResult
from paddler.messages.generation import GenerationEvent
from paddler.messages.link import EmbeddingEvents, LoadReport
from paddler.messages.state import PoolingType


class ChunkProgress:
    """A chunk's unanswered documents; a `RequestSink`.

    Args:
        documents: As the client sent them.
        post: Takes each result.
    """

    def __init__(
        self, documents: Sequence[EmbeddingDocument], post: Callable[[EmbeddingItem], None]
    ) -> None:
        self._pending = dict(enumerate(documents))
        self._post = post
        self._changed = trio.Event()
        self.agent_name: str | None = None
        self._pooling_type: PoolingType = "Unspecified"
        self.pause = Pause.RUNNING
        self.last_item_at = 0.0
        self.give_back_reason = ""
        self.made_progress = False
        self.failed = False

    def begin(
        self, agent_name: str | None, pooling_type: PoolingType | None
    ) -> list[EmbeddingDocument]:
        """An agent starts to work on what is unanswered; returns that, renumbered."""
        self.agent_name = agent_name
        self._pooling_type = pooling_type or "Unspecified"
        self._changed = trio.Event()
        self.pause = Pause.RUNNING
        self.last_item_at = trio.current_time()
        self.made_progress = False
        return [
            EmbeddingDocument(id=str(position), content=document.content)
            for position, document in self._pending.items()
        ]

    async def wait(self) -> None:
        """Wait until the agent does not work on it any more."""
        await self._changed.wait()

    def on_events(self, events: Sequence[GenerationEvent]) -> None:
        """Not asked for, and ignored."""

    def on_embeddings(self, frame: EmbeddingEvents) -> None:
        """Take what the agent sent."""
        if self.pause is not Pause.RUNNING:
            return
        self.last_item_at = trio.current_time()
        for result in frame.results:
            self._take(result)
        if frame.error is not None:
            self.failed = True
            self._post(EmbeddingChunkFailed(self.agent_name, frame.error))
            self._end()
        elif frame.done:
            for document in self._pending.values():
                unanswered = DocumentFailed(document.id, "the agent left the document out")
                self._answer(unanswered)
            self._end()

    def on_load(self, report: LoadReport) -> None:
        """Says nothing of embeddings."""

    def on_given_back(self, reason: str) -> None:
        """The agent will not finish it."""
        if self.pause is Pause.RUNNING:
            self.pause = Pause.GIVEN_BACK
            self.give_back_reason = reason
            self._changed.set()

    def _take(self, result: EmbeddingResult) -> None:
        position = int(result.document_id) if result.document_id.isdecimal() else -1
        document = self._pending.pop(position, None)
        if document is not None:
            self.made_progress = True
            self._answer(msgspec.structs.replace(result, document_id=document.id))

    def _answer(self, result: EmbeddingResult) -> None:
        self._post(EmbeddedDocument(self.agent_name, self._pooling_type, result))

    def _end(self) -> None:
        self.pause = Pause.ENDED
        self._changed.set()
