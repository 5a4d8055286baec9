"""Embedding documents: encoders and causal models, alone and together."""

from __future__ import annotations

import array
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import trio
import trio.testing
from gguf import PoolingType

from paddler.engine.embeddings import MAX_DOCUMENTS, EmbeddingEngine
from paddler.engine.engine import Engine
from paddler.engine.errors import EngineClosed, InvalidArgument, PromptTooLong, Unsupported
from paddler.engine.model import Model, open_model
from paddler.engine.requests import Ended, EngineRequest
from paddler.engine.settings import EngineSettings
from tests.support.tiny_models import (
    N_EMBD,
    tiny_bert,
    tiny_hybrid,
    tiny_llama,
    tiny_mamba,
    tiny_sliding_window,
)

TIMEOUT_S = 120.0
TEXTS = ["hello world", "hello word", "something else entirely, and longer " * 3, "x"]
MAKERS: list[Callable[[Path], Path]] = [
    tiny_bert,
    tiny_llama,
    tiny_sliding_window,
    tiny_mamba,
    tiny_hybrid,
]


def settings(pooling_type: str, *, batch_tokens: int = 512) -> EngineSettings:
    return EngineSettings(
        n_slots=1,
        context_tokens=256,
        n_threads=1,
        k_cache_dtype="F32",
        v_cache_dtype="F32",
        enable_embeddings=True,
        embedding_batch_tokens=batch_tokens,
        pooling_type=pooling_type,
    )


@contextlib.asynccontextmanager
async def embedder_of(
    path: Path, pooling_type: str, *, batch_tokens: int = 512
) -> AsyncIterator[tuple[Model, EmbeddingEngine]]:
    async with (
        open_model(path) as model,
        EmbeddingEngine.open(model, settings(pooling_type, batch_tokens=batch_tokens)) as embedder,
    ):
        yield model, embedder


def floats(vector: bytes) -> list[float]:
    values = array.array("f")
    values.frombytes(vector)
    return list(values)


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(first, second, strict=True))
    return dot / (math.hypot(*first) * math.hypot(*second))


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def any_model_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    maker: Callable[[Path], Path] = request.param
    return maker(tmp_path / "model.gguf")


@pytest.mark.parametrize("pooling_type", ["None", "Mean", "Cls", "Last"])
async def test_documents_embedded_together_are_as_if_alone(
    any_model_path: Path, pooling_type: str
) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with embedder_of(any_model_path, pooling_type) as (model, embedder):
            assert embedder.pooling_type == pooling_type
            assert embedder.dimensions == N_EMBD
            documents = [await model.tokenize(text) for text in TEXTS]
            together = await embedder.embed(documents)
            alone = [(await embedder.embed([document]))[0] for document in documents]
    for document, one, other in zip(documents, together, alone, strict=True):
        n_rows = len(document) if pooling_type == "None" else 1
        assert len(floats(one)) == n_rows * N_EMBD
        assert cosine(floats(one), floats(other)) > 0.9999


async def test_pooled_vectors_are_made_of_the_tokens_vectors(any_model_path: Path) -> None:
    vectors: dict[str, list[float]] = {}
    with trio.fail_after(TIMEOUT_S):
        for pooling_type in ("None", "Mean", "Cls", "Last"):
            async with embedder_of(any_model_path, pooling_type) as (model, embedder):
                document = await model.tokenize(TEXTS[2])
                vectors[pooling_type] = floats((await embedder.embed([document]))[0])
    flat = vectors["None"]
    rows = [flat[start : start + N_EMBD] for start in range(0, len(flat), N_EMBD)]
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    assert cosine(vectors["Mean"], mean) > 0.9999
    assert cosine(vectors["Cls"], rows[0]) > 0.9999
    assert cosine(vectors["Last"], rows[-1]) > 0.9999


async def test_a_long_document_is_read_in_pieces_like_a_short_one(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "model.gguf")
    with trio.fail_after(TIMEOUT_S):
        async with embedder_of(path, "Mean", batch_tokens=2000) as (model, embedder):
            document = (await model.tokenize("the quick brown fox " * 90))[:1700]
            long, short = await embedder.embed([document, document[:400]])
        async with embedder_of(path, "None", batch_tokens=2000) as (_, embedder):
            rows = floats((await embedder.embed([document]))[0])
    n_rows = len(rows) // N_EMBD
    assert n_rows == 1700
    mean = [sum(rows[column::N_EMBD]) / n_rows for column in range(N_EMBD)]
    assert cosine(floats(long), mean) > 0.9999
    assert cosine(floats(long), floats(short)) > 0.5


async def test_the_files_pooling_is_used_unless_another_is_asked_for(tmp_path: Path) -> None:
    path = tiny_bert(tmp_path / "model.gguf", pooling=PoolingType.CLS)
    with trio.fail_after(TIMEOUT_S):
        async with embedder_of(path, "Unspecified") as (_, embedder):
            assert embedder.pooling_type == "Cls"
        async with embedder_of(path, "Mean") as (_, embedder):
            assert embedder.pooling_type == "Mean"


async def test_rank_pooling_gives_scores(tmp_path: Path) -> None:
    path = tiny_bert(
        tmp_path / "model.gguf", pooling=PoolingType.RANK, rank_labels=["relevant", "not"]
    )
    with trio.fail_after(TIMEOUT_S):
        async with embedder_of(path, "Rank") as (model, embedder):
            assert embedder.dimensions == 2
            documents = [await model.tokenize(text) for text in TEXTS]
            scores = [floats(vector) for vector in await embedder.embed(documents)]
    assert [len(score) for score in scores] == [2] * len(TEXTS)
    assert scores[0] != scores[2]


async def test_rank_pooling_needs_a_classifier(any_model_path: Path) -> None:
    async with open_model(any_model_path) as model:
        with pytest.raises(Unsupported, match="classifier"):
            async with EmbeddingEngine.open(model, settings("Rank")):
                pytest.fail("opened")


async def test_a_document_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tiny_bert(tmp_path / "model.gguf")
    with trio.fail_after(TIMEOUT_S):
        async with embedder_of(path, "Mean", batch_tokens=2048) as (_, embedder):
            assert embedder.max_document_tokens == 512, "the model knows no further positions"
            [vector] = await embedder.embed([[5] * 512])
            assert len(floats(vector)) == N_EMBD
            with pytest.raises(PromptTooLong, match="513"):
                await embedder.embed([[5] * 513])


@pytest.mark.parametrize("document", [[], [-1], [1 << 20]], ids=["empty", "negative", "unknown"])
async def test_a_document_of_impossible_tokens_is_refused(
    tmp_path: Path, document: list[int]
) -> None:
    path = tiny_llama(tmp_path / "model.gguf")
    with trio.fail_after(TIMEOUT_S):
        async with embedder_of(path, "Mean") as (_, embedder):
            with pytest.raises(InvalidArgument):
                await embedder.embed([[5, 6], document])
            assert len(await embedder.embed([[5, 6]])) == 1


async def test_more_documents_than_the_queue_holds_come_in_their_order(tmp_path: Path) -> None:
    path = tiny_bert(tmp_path / "model.gguf")
    documents = [[5 + n % 130, 5 + n % 7] for n in range(3 * MAX_DOCUMENTS)]
    with trio.fail_after(TIMEOUT_S):
        async with embedder_of(path, "Mean") as (_, embedder):
            vectors = await embedder.embed(documents)
            for index in (0, 300, len(documents) - 1):
                [alone] = await embedder.embed([documents[index]])
                assert cosine(floats(vectors[index]), floats(alone)) > 0.9999
    assert len(vectors) == len(documents)


async def test_several_callers_share_the_embedder(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "model.gguf")
    results: dict[int, list[bytes]] = {}
    with trio.fail_after(TIMEOUT_S):
        async with embedder_of(path, "Last") as (_, embedder):

            async def call(number: int) -> None:
                results[number] = await embedder.embed([[5 + number, 7, 9]] * 20)

            async with trio.open_nursery() as nursery:
                for number in range(30):
                    nursery.start_soon(call, number)
    for number, vectors in results.items():
        assert len(set(vectors)) <= 2, f"caller {number} got another's vectors"
    assert len({vectors[0] for vectors in results.values()}) == 30


async def test_a_cancelled_caller_leaves_the_embedder_to_others(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "model.gguf", n_layer=8)
    long = [5 + n % 300 for n in range(2000)]
    with trio.fail_after(TIMEOUT_S):
        async with embedder_of(path, "Mean", batch_tokens=2000) as (_, embedder):
            for _ in range(3):
                with trio.move_on_after(0.02) as scope:
                    await embedder.embed([long] * 500)
                assert scope.cancelled_caught
            assert len(await embedder.embed([[5, 6, 7]])) == 1


async def test_closing_ends_callers_that_wait(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "model.gguf", n_layer=8)
    outcome: list[str] = []

    async def call(embedder: EmbeddingEngine) -> None:
        try:
            await embedder.embed([[5 + n % 300 for n in range(2000)]] * 500)
        except EngineClosed:
            outcome.append("closed")

    with trio.fail_after(TIMEOUT_S):
        async with (
            trio.open_nursery() as nursery,
            embedder_of(path, "Mean", batch_tokens=2000) as (_, embedder),
        ):
            nursery.start_soon(call, embedder)
            await trio.testing.wait_all_tasks_blocked()
    assert outcome == ["closed"]
    with pytest.raises(EngineClosed):
        await embedder.embed([[5]])


@pytest.mark.model
@pytest.mark.parametrize("pooling_type", ["Mean", "Last"])
async def test_the_real_model_embeds_while_it_generates(
    real_model_path: Path, pooling_type: str
) -> None:
    texts = [
        "The cat sleeps on the sofa.",
        "A cat is sleeping on the couch.",
        "Interest rates were raised by the central bank.",
    ]
    ended: list[Ended] = []
    engine_settings = EngineSettings(
        n_slots=1,
        context_tokens=256,
        enable_embeddings=True,
        embedding_batch_tokens=256,
        pooling_type=pooling_type,
    )
    with trio.fail_after(TIMEOUT_S):
        async with Engine.open(real_model_path, engine_settings) as engine:
            embedder = engine.embedder
            assert embedder is not None
            prompt = await engine.tokenize("Once upon a time")

            async def generate() -> None:
                request = EngineRequest(prompt_tokens=prompt, max_tokens=24, ignore_end=True)
                async with contextlib.aclosing(engine.generate(request)) as events:
                    ended.extend([event async for event in events if isinstance(event, Ended)])

            async with trio.open_nursery() as nursery:
                nursery.start_soon(generate)
                vectors = await embedder.embed([await engine.tokenize(text) for text in texts])
    assert len(ended) == 1
    cat, same_cat, bank = map(floats, vectors)
    assert cosine(cat, same_cat) > cosine(cat, bank)
