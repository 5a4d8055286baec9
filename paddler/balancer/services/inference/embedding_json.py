"""Embedding results to public JSON, one object per item."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable
from typing import Literal

import msgspec

from paddler.balancer.requests.items import (
    EmbeddedDocument,
    EmbeddingChunkFailed,
    EmbeddingItem,
    GenerationError,
)
from paddler.balancer.services.inference.ndjson import error_envelope
from paddler.messages.answers import (
    DocumentSize,
    EmbeddedItem,
    EmbeddedVector,
    InferenceAnswer,
    InferenceResponse,
    InferenceResult,
)
from paddler.messages.embeddings import (
    DocumentEmbedding,
    DocumentFailed,
    DocumentTooLong,
    EmbeddingResult,
    Normalization,
)
from paddler.messages.state import PoolingType

_encode = msgspec.json.Encoder().encode


def float32_values(vector: bytes) -> list[float]:
    """`vector`, [n] float32 little endian, as numbers."""
    values = array.array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


class EmbeddingEncoder:
    """Encodes one batch's items; `is_failed` once it ended with an error.

    Args:
        request_id: Our name for the request.
        normalization: As it was asked for; every embedding repeats it.
    """

    def __init__(self, request_id: str, normalization: Normalization) -> None:
        self._request_id = request_id
        self._normalization = normalization
        self.is_failed = False

    def encode(self, items: Iterable[EmbeddingItem]) -> list[bytes]:
        """The JSON objects for what arrived together, without line ends."""
        return [self._encode_item(item) for item in items]

    def done(self) -> bytes:
        """The item that ends a batch."""
        return self._response(None, "Done")

    def _encode_item(self, item: EmbeddingItem) -> bytes:
        match item:
            case GenerationError(code, description):
                self.is_failed = True
                return error_envelope(self._request_id, code, description)
            case EmbeddingChunkFailed(agent_name, message):
                return self._response(agent_name, EmbeddedItem(Error=message))
            case EmbeddedDocument(agent_name, pooling_type, result):
                return self._response(agent_name, self._document(result, pooling_type))

    def _response(self, agent_name: str | None, item: Literal["Done"] | EmbeddedItem) -> bytes:
        result = InferenceResult(Embedding=item)
        response = InferenceResponse(agent_name, self._request_id, result)
        return _encode(InferenceAnswer(Response=response))

    def _document(self, result: EmbeddingResult, pooling_type: PoolingType) -> EmbeddedItem:
        match result:
            case DocumentEmbedding(document_id, vector):
                return EmbeddedItem(
                    Embedding=EmbeddedVector(
                        embedding=float32_values(vector),
                        normalization_method=self._normalization,
                        pooling_type=pooling_type,
                        source_document_id=document_id,
                    )
                )
            case DocumentTooLong(document_id, document_tokens, n_batch):
                return EmbeddedItem(
                    DocumentExceedsBatchSize=DocumentSize(
                        document_tokens=document_tokens,
                        n_batch=n_batch,
                        source_document_id=document_id,
                    )
                )
            case DocumentFailed(document_id, message):
                return EmbeddedItem(Error=f"document {document_id}: {message}")
