"""Embeddings: documents to vectors, beside the generations of the same model.

Owns a native context and its thread. Documents of several callers share
batches, first in, first out; at most `MAX_DOCUMENTS` are in the native queue
at a time, further ones wait here. Knows token ids, not texts, and does not
normalize (see `normalization`).
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import trio

from paddler.engine import errors
from paddler.engine.library import error_for_status, ffi, lib, new_error, raise_for_status
from paddler.engine.settings import POOLING_TYPES, EngineSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from paddler.engine.model import Model

MAX_DOCUMENTS = 256
"""In the native queue, computed, or finished and not taken."""

DOCUMENTS_PER_BATCH = 16

_POOLING_NAMES = {number: name for name, number in POOLING_TYPES.items()}


class _Document:
    """One document on its way."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.vector = b""
        self.error: errors.EngineError | None = None

    def finish(self, vector: bytes, error: errors.EngineError | None) -> None:
        self.vector, self.error = vector, error
        self.over.set()


class EmbeddingEngine:
    """Embeds documents. Made by `EmbeddingEngine.open`.

    Attributes:
        dimensions: Floats per row: the model's n_embd, or the number of scores
            with rank pooling.
        pooling_type: A key of `POOLING_TYPES`, after the model's own default.
        max_document_tokens: Longer documents are refused.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._ids = itertools.count(1)
        self._documents: dict[int, _Document] = {}
        self._room = trio.Semaphore(MAX_DOCUMENTS)
        self._closed = False
        self.dimensions = int(lib.pdl_embedder_dimensions(handle))
        self.pooling_type = _POOLING_NAMES[lib.pdl_embedder_pooling_type(handle)]
        self.max_document_tokens = int(lib.pdl_embedder_max_tokens(handle))

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, model: Model, settings: EngineSettings) -> AsyncIterator[EmbeddingEngine]:
        """Make the context and start its thread; abort, join and free on exit.

        Raises:
            Unsupported: The model cannot embed, or not with this pooling.
            InvalidArgument: Settings that cannot work.
            OutOfMemory: The context does not fit.
        """
        params = ffi.new("pdl_embedder_params *")
        params.n_batch = settings.embedding_batch_tokens
        params.pooling_type = POOLING_TYPES[settings.pooling_type]
        params.n_threads = settings.n_threads
        params.max_sequences = DOCUMENTS_PER_BATCH
        params.max_documents = MAX_DOCUMENTS
        handle, error = ffi.new("pdl_embedder **"), new_error()
        status = await trio.to_thread.run_sync(
            lib.pdl_embedder_open, model.handle, params, handle, error
        )
        raise_for_status(status, error)
        try:
            engine = cls(handle[0])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(engine._pump)
                yield engine
                nursery.cancel_scope.cancel()
        finally:
            # Joining is prompt: closing aborts the batch that is computed.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(lib.pdl_embedder_close, handle[0])

    async def embed(self, documents: Sequence[Sequence[int]]) -> list[bytes]:
        """Vectors of the documents, in their order.

        A vector is [dimensions] float32 in native byte order; without pooling
        it is [n_tokens, dimensions], row after row. Cancelling drops the
        documents that are not computed yet.

        Raises:
            PromptTooLong: A document has more than `max_document_tokens`.
            InvalidArgument: A document is empty or has unknown tokens.
            DecodeFailed, OutOfMemory: The batch of a document failed.
            EngineClosed: The engine was closed meanwhile.
        """
        submitted: dict[int, _Document] = {}
        try:
            for tokens in documents:
                await self._submit(tokens, submitted)
            for document in submitted.values():
                await document.over.wait()
                if document.error is not None:
                    raise document.error
        finally:
            for document_id in submitted:
                self._forget(document_id)
        return [document.vector for document in submitted.values()]

    async def _submit(self, tokens: Sequence[int], submitted: dict[int, _Document]) -> None:
        await self._room.acquire()
        document_id = next(self._ids)
        try:
            if self._closed:
                raise errors.EngineClosed("the engine was closed")
            error = new_error()
            status = lib.pdl_embedder_submit(
                self._handle, document_id, ffi.new("int32_t[]", tokens), len(tokens), error
            )
            raise_for_status(status, error)
        except BaseException:
            self._room.release()
            raise
        submitted[document_id] = self._documents[document_id] = _Document()

    def _forget(self, document_id: int) -> None:
        """Drops a document that is not finished; does nothing for others."""
        if self._documents.pop(document_id, None) is not None:
            lib.pdl_embedder_cancel(self._handle, document_id)
            self._room.release()

    async def _pump(self) -> None:
        """Hands results to their documents, until cancelled; then none waits any more."""
        descriptor = lib.pdl_embedder_event_fd(self._handle)
        result = ffi.new("pdl_embedding *")
        try:
            while True:
                await trio.lowlevel.wait_readable(descriptor)
                while lib.pdl_embedder_take(self._handle, result):
                    self._deliver(result)
        finally:
            self._closed = True
            for document_id, document in list(self._documents.items()):
                self._forget(document_id)
                document.finish(b"", errors.EngineClosed("the engine was closed"))

    def _deliver(self, result: Any) -> None:
        try:
            document = self._documents.pop(result.id, None)
            if document is None:
                return
            self._room.release()
            if result.error.status == lib.PDL_OK:
                n_bytes = result.n_rows * self.dimensions * ffi.sizeof("float")
                document.finish(ffi.buffer(result.values, n_bytes)[:], None)
            else:
                message = ffi.string(result.error.message).decode("utf-8", "replace")
                document.finish(b"", error_for_status(result.error.status, message))
        finally:
            lib.pdl_embedding_free(result)
