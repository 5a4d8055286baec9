"""Embedding batches: the public request, and results as the agent sends them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class RmsNormSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`epsilon` is added to the mean square before its root is taken."""

    epsilon: Annotated[float, Meta(ge=0.0)]


class RmsNorm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Divide by the root of the mean square."""

    RmsNorm: RmsNormSettings


Normalization = Literal["L2", "None"] | RmsNorm


class EmbeddingDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text to embed; `id` comes back with its embedding."""

    id: str
    content: str


class GenerateEmbeddingBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Embed every document of `input_batch`; results come in any order."""

    input_batch: list[EmbeddingDocument]
    normalization_method: Normalization


class DocumentEmbedding(msgspec.Struct, frozen=True, tag="embedding", array_like=True):
    """One document's embedding: `vector` is [n_embd] float32, little endian."""

    document_id: str
    vector: bytes
    n_tokens: int


class DocumentTooLong(msgspec.Struct, frozen=True, tag="too_long", array_like=True):
    """A document that does not fit the embedding batch; the others go on."""

    document_id: str
    document_tokens: int
    n_batch: int


class DocumentFailed(msgspec.Struct, frozen=True, tag="failed", array_like=True):
    """A document the engine could not embed, and why."""

    document_id: str
    message: str


EmbeddingResult = DocumentEmbedding | DocumentTooLong | DocumentFailed
