"""Completions of raw prompts."""

from __future__ import annotations

import trio

from paddler.messages.generation import (
    Alternative,
    InfillPrompt,
    RawPrompt,
    TokenClass,
    TokenEvent,
    TokenLogprobs,
    TokenPrompt,
)
from paddler.messages.link import Generate
from tests.balancer.services.openai.serving import (
    COMPLETIONS,
    answer_one,
    choices_of,
    chunks_of,
    ended,
    error_of,
    openai_balancer,
    post,
    streaming,
    text,
)
from tests.support.running_balancer import RunningBalancer


async def prompts_of(body: dict[str, object], n_generations: int) -> list[Generate]:
    generates: list[Generate] = []

    async def serve() -> None:
        while len(generates) < n_generations:
            generates.append(await answer_one(agent, text("x"), ended()))

    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(slots=1)
        nursery.start_soon(serve)
        answer = await post(balancer, COMPLETIONS, **body)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["choices"]) == n_generations
    return generates


async def test_prompts_come_as_text_texts_or_token_ids() -> None:
    cases: list[tuple[object, list[RawPrompt | TokenPrompt]]] = [
        ("Once", [RawPrompt("Once")]),
        (["Once", "Twice"], [RawPrompt("Once"), RawPrompt("Twice")]),
        ([1, 2], [TokenPrompt([1, 2])]),
        ([[1, 2], [3]], [TokenPrompt([1, 2]), TokenPrompt([3])]),
    ]
    for prompt, expected in cases:
        generates = await prompts_of({"prompt": prompt}, len(expected))
        found = [generate.order.prompt for generate in generates]
        assert sorted(map(repr, found)) == sorted(map(repr, expected))


async def test_a_suffix_asks_for_what_stands_between() -> None:
    generates = await prompts_of({"prompt": "def f(", "suffix": "return x"}, 1)
    assert generates[0].order.prompt == InfillPrompt("def f(", "return x")


async def test_max_tokens_is_openais_default_unless_given() -> None:
    assert (await prompts_of({"prompt": "Once"}, 1))[0].order.max_tokens == 16
    assert (await prompts_of({"prompt": "Once", "max_tokens": 3}, 1))[0].order.max_tokens == 3


async def test_an_answer_has_openais_shape_whole_and_streamed() -> None:
    async def serve(balancer: RunningBalancer) -> None:
        for _ in range(2):
            await answer_one(agent, text("up"), text("on"), ended())

    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(serve, balancer)
        body = (await post(balancer, COMPLETIONS, prompt="Once", echo=True)).json()
        assert body["object"] == "text_completion"
        assert body["id"].startswith("cmpl-")
        choice = {"index": 0, "text": "Onceupon", "logprobs": None, "finish_reason": "stop"}
        assert body["choices"] == [choice]
        assert body["usage"]["total_tokens"] == 9
        asked = {"prompt": "Once", "echo": True, "stream_options": {"include_usage": True}}
        async with streaming(balancer, COMPLETIONS, **asked) as client:
            chunks = await chunks_of(client)
        texts = [str(choices_of(chunk)[0]["text"]) for chunk in chunks[:-1]]
        assert "".join(texts) == "Onceupon"
        assert choices_of(chunks[-2])[0]["finish_reason"] == "stop"
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]


async def test_logprobs_are_lists_over_the_text() -> None:
    def token(words: str) -> TokenEvent:
        chosen = Alternative(1, words.encode(), -0.25)
        return TokenEvent(TokenClass.CONTENT, words, [1], [TokenLogprobs(chosen, [chosen])])

    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(answer_one, agent, token("up"), token("on"), ended())
        body = (await post(balancer, COMPLETIONS, prompt="Once", logprobs=1)).json()
        assert body["choices"][0]["logprobs"] == {
            "tokens": ["up", "on"],
            "token_logprobs": [-0.25, -0.25],
            "top_logprobs": [{"up": -0.25}, {"on": -0.25}],
            "text_offset": [0, 2],
        }


async def test_what_is_not_supported_is_refused_clearly() -> None:
    async with openai_balancer() as balancer:
        await balancer.join()
        cases: list[tuple[dict[str, object], str]] = [
            ({"prompt": "a", "best_of": 3}, "best_of"),
            ({"prompt": "a", "echo": True, "logprobs": 1}, "echo"),
            ({"prompt": [1], "echo": True}, "echo"),
            ({"prompt": [1], "suffix": "x"}, "suffix"),
            ({"prompt": ["a", 1]}, "prompt"),
            ({"prompt": []}, "prompt"),
            ({"prompt": ["a"] * 65, "n": 2}, "n"),
        ]
        for body, param in cases:
            answer = await post(balancer, COMPLETIONS, **body)
            assert answer.status_code == 400, body
            assert error_of(answer)["param"] == param
