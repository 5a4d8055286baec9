"""`/v1/embeddings`."""

from __future__ import annotations

import array
import base64
import functools
import sys
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.streaming import Answer
from paddler.balancer.requests.embedding_batches import Embeddings
from paddler.balancer.requests.items import (
    EmbeddingChunkFailed,
    EmbeddingItem,
    GenerationError,
)
from paddler.balancer.services.openai.errors import BadRequest, OpenAiError, failure
from paddler.balancer.services.openai.generating import OpenAiContext
from paddler.balancer.services.openai.served_models import served_models
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.decoding import decode_json
from paddler.messages.embeddings import (
    DocumentEmbedding,
    DocumentFailed,
    DocumentTooLong,
    EmbeddingDocument,
    GenerateEmbeddingBatch,
)


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to embed."""

    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


async def embeddings(context: OpenAiContext, runner: Embeddings, request: EdgeRequest) -> Answer:
    """Answer POST `/v1/embeddings`.

    Raises:
        OpenAiError: Refused, or a text could not be embedded.
        DispatchError, GenerationRefusal: See `Embeddings.run`.
    """
    asked = decode_json(request.content, EmbeddingRequest)
    texts = _texts(asked, context.limits.max_documents)
    context.check_model(asked.model)
    batch = GenerateEmbeddingBatch(
        input_batch=[EmbeddingDocument(str(index), text) for index, text in enumerate(texts)],
        normalization_method="L2",
    )
    outbox: Mailbox[EmbeddingItem] = Mailbox(context.limits.max_waiting_items)
    run = functools.partial(runner.run, request_id=f"embd-{context.make_suffix()}")
    await request.nursery.start(run, batch, outbox)
    found = await _gather(outbox, len(texts))
    as_floats = asked.encoding_format != "base64"
    n_tokens = sum(document.n_tokens for document in found)
    return Answer(
        body=msgspec.json.encode(
            {
                "object": "list",
                "data": [
                    {
                        "object": "embedding",
                        "index": index,
                        "embedding": (
                            _floats(document.vector)
                            if as_floats
                            else base64.b64encode(document.vector).decode()
                        ),
                    }
                    for index, document in enumerate(found)
                ],
                "model": _model(context, asked.model),
                "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
            }
        )
    )


def _texts(asked: EmbeddingRequest, max_documents: int) -> list[str]:
    if asked.dimensions is not None:
        message = "`dimensions` is not supported: embeddings have the size the model gives them"
        raise BadRequest(message, param="dimensions", code="unsupported_parameter")
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if len(texts) > max_documents:
        message = f"at most {max_documents} texts are allowed, not {len(texts)}"
        raise BadRequest(message, param="input")
    found = []
    for text in texts:
        if not isinstance(text, str):
            message = (
                "`input` as token ids is not supported: they would be those of another model's "
                "tokenizer; send texts (in LangChain: check_embedding_ctx_length=False)"
            )
            raise BadRequest(message, param="input", code="unsupported_parameter")
        if not text:
            message = "`input` has an empty text"
            raise BadRequest(message, param="input")
        found.append(text)
    return found


async def _gather(outbox: Mailbox[EmbeddingItem], n_documents: int) -> list[DocumentEmbedding]:
    """The embeddings of all documents, in their order."""
    found: dict[int, DocumentEmbedding] = {}
    async for items in outbox:
        for item in items:
            document = _document(item)
            found[int(document.document_id)] = document
    if len(found) < n_documents:
        message = f"only {len(found)} of {n_documents} texts were embedded"
        raise OpenAiError(500, message)
    return [found[index] for index in range(n_documents)]


def _document(item: EmbeddingItem) -> DocumentEmbedding:
    if isinstance(item, GenerationError):
        raise failure(item)
    if isinstance(item, EmbeddingChunkFailed):
        raise OpenAiError(500, item.message, code="embedding_failed")
    result = item.result
    if isinstance(result, DocumentTooLong):
        message = (
            f"the text {result.document_id} has {result.document_tokens} tokens; "
            f"at most {result.n_batch} are embedded at once"
        )
        raise BadRequest(message, param="input", code="context_length_exceeded")
    if isinstance(result, DocumentFailed):
        message = f"the text {result.document_id}: {result.message}"
        raise OpenAiError(500, message, code="embedding_failed")
    return result


def _floats(vector: bytes) -> list[float]:
    """`vector`, [n] float32 little endian, as numbers."""
    values = array.array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def _model(context: OpenAiContext, asked: str | None) -> str:
    models = [model for model in served_models(context.fleet) if model.description.can_embed]
    for model in models:
        if asked is not None and model.answers_to(asked):
            return model.id
    return models[0].id if models else asked or "unknown"
