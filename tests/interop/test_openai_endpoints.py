"""PyPI's `openai` client: completions, embeddings and models of the real model."""

from __future__ import annotations

import math
from collections.abc import Iterator

import openai
import pytest

from tests.support.openai_clients import MODEL, async_client_of, checked, client_of, run
from tests.support.real_programs import RealBalancer

pytestmark = pytest.mark.model

PROMPT = "The capital of France is"


@pytest.fixture
def client(openai_fleet: RealBalancer) -> Iterator[openai.OpenAI]:
    with client_of(openai_fleet.url("openai")) as opened:
        yield opened


def test_a_completion_whole_and_streamed_is_the_same(client: openai.OpenAI) -> None:
    whole = checked(
        client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=6, temperature=0)
    )
    chunks = list(
        client.completions.create(
            model=MODEL,
            prompt=PROMPT,
            max_tokens=6,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    # The type knows no chunk before the last, whose finish_reason is null.
    for chunk in chunks[-2:]:
        checked(chunk)
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert whole.choices[0].text == text != ""
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert whole.usage.completion_tokens == chunks[-1].usage.completion_tokens == 6


def test_several_prompts_and_choices(client: openai.OpenAI) -> None:
    answer = checked(
        client.completions.create(model=MODEL, prompt=[PROMPT, "One, two,"], n=2, max_tokens=3)
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]


def test_token_ids_go_to_the_model_unchanged(client: openai.OpenAI) -> None:
    answer = checked(client.completions.create(model=MODEL, prompt=[2, 651, 6037], max_tokens=3))
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3
    with pytest.raises(openai.BadRequestError, match="not in the model's vocabulary"):
        client.completions.create(model=MODEL, prompt=[10**9], max_tokens=3)


def test_echo_and_logprobs(client: openai.OpenAI) -> None:
    echoed = checked(client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=3, echo=True))
    assert echoed.choices[0].text.startswith(PROMPT)
    answer = checked(
        client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=3, logprobs=2)
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert "".join(logprobs.tokens) == answer.choices[0].text
    assert logprobs.top_logprobs is not None
    assert all(len(top) == 2 for top in logprobs.top_logprobs)


def test_a_suffix_is_refused_where_the_model_cannot_fill_in(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=MODEL, prompt="a", suffix="b")
    assert refused.value.code == "suffix_not_supported"


def test_the_asynchronous_client(openai_fleet: RealBalancer) -> None:
    async def work() -> list[str]:
        async with async_client_of(openai_fleet.url("openai")) as client:
            completion = await client.completions.create(model=MODEL, prompt="a", max_tokens=2)
            embedded = await client.embeddings.create(model=MODEL, input="a")
            models = [checked(model).id async for model in client.models.list()]
            assert checked(completion).choices[0].text
            assert checked(embedded).data[0].embedding
            return models

    assert len(run(work())) == 1


def test_embeddings_are_the_same_in_both_encodings(client: openai.OpenAI) -> None:
    texts = ["The cat sits.", "A dog runs.", "The cat sits."]
    packed = checked(client.embeddings.create(model=MODEL, input=texts))
    plain = checked(client.embeddings.create(model=MODEL, input=texts, encoding_format="float"))
    assert [each.index for each in packed.data] == [0, 1, 2]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-3)
    assert packed.data[0].embedding == pytest.approx(packed.data[2].embedding, abs=1e-3)
    assert packed.usage.prompt_tokens > 6


def test_dimensions_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=MODEL, input="a", dimensions=8)
    assert refused.value.param == "dimensions"


def test_models(client: openai.OpenAI) -> None:
    models = [checked(model) for model in client.models.list()]
    assert len(models) == 1
    assert checked(client.models.retrieve(models[0].id)).id == models[0].id
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-4")
    assert missing.value.code == "model_not_found"
