"""One chunk of documents to embed, from texts to normalized vectors.

Documents are embedded in small groups, so that results leave while others are
computed, and so that one document the model cannot take spoils no other.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from paddler.agent.backend.protocol import Embedder, Engine
from paddler.agent.requests.running import Outlet
from paddler.engine.errors import EngineClosed, EngineError
from paddler.engine.normalization import normalize
from paddler.messages.embeddings import (
    DocumentEmbedding,
    DocumentFailed,
    DocumentTooLong,
    EmbeddingDocument,
    EmbeddingResult,
    Normalization,
)
from paddler.messages.link import Embed

__all__ = ["run_embedding"]

logger = logging.getLogger(__name__)

DOCUMENTS_PER_GROUP = 16


async def run_embedding(frame: Embed, outlet: Outlet, engine: Engine) -> None:
    """Serve `frame` and post every document's result, `done` included."""
    embedder = engine.embedder
    if embedder is None:
        outlet.post_embeddings([], done=True, error="embeddings are not enabled")
        return
    try:
        for first in range(0, len(frame.documents), DOCUMENTS_PER_GROUP):
            group = frame.documents[first : first + DOCUMENTS_PER_GROUP]
            results = await _embed_group(group, frame.normalization, engine, embedder)
            outlet.post_embeddings(results, done=False)
    except EngineClosed:
        outlet.hand_over("the engine closes")
    else:
        outlet.post_embeddings([], done=True)


async def _embed_group(
    documents: Sequence[EmbeddingDocument],
    normalization: Normalization,
    engine: Engine,
    embedder: Embedder,
) -> list[EmbeddingResult]:
    results: list[EmbeddingResult] = []
    fitting: list[tuple[EmbeddingDocument, list[int]]] = []
    for document in documents:
        try:
            tokens = await engine.tokenize(document.content)
        except EngineClosed:
            raise
        except EngineError as error:
            results.append(DocumentFailed(document.id, str(error)))
            continue
        if len(tokens) > embedder.max_document_tokens:
            too_long = DocumentTooLong(document.id, len(tokens), embedder.max_document_tokens)
            results.append(too_long)
        elif not tokens:
            results.append(DocumentFailed(document.id, "the document has no tokens"))
        else:
            fitting.append((document, tokens))
    return results + await _embed_fitting(fitting, normalization, embedder)


async def _embed_fitting(
    fitting: Sequence[tuple[EmbeddingDocument, list[int]]],
    normalization: Normalization,
    embedder: Embedder,
) -> list[EmbeddingResult]:
    if not fitting:
        return []
    try:
        vectors = await embedder.embed([tokens for _, tokens in fitting])
    except EngineClosed:
        raise
    except EngineError as error:
        if len(fitting) > 1:
            # One of them spoils the group: find out which by taking each alone.
            return [
                result
                for one in fitting
                for result in await _embed_fitting([one], normalization, embedder)
            ]
        logger.info("document_failed error=%s: %s", type(error).__name__, error)
        return [DocumentFailed(fitting[0][0].id, str(error))]
    return [
        DocumentEmbedding(
            document.id,
            normalize(vector, normalization, dimensions=embedder.dimensions),
            len(tokens),
        )
        for (document, tokens), vector in zip(fitting, vectors, strict=True)
    ]
