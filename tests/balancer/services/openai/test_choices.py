"""`n` choices are generations of their own, on as many slots as there are."""

from __future__ import annotations

import functools

import trio

from paddler.messages.generation import GenerationFailed, GenerationFailure
from tests.balancer.services.openai.serving import (
    STARTED,
    answer_one,
    chat,
    choices_of,
    chunks_of,
    delta_of,
    ended,
    error_of,
    openai_balancer,
    streaming,
    text,
)
from tests.support.scripted_agents import ScriptedAgent


async def serve(agent: ScriptedAgent, *words: str) -> None:
    for word in words:
        await answer_one(agent, text(word), ended())


async def test_each_choice_has_its_own_text_and_the_prompt_counts_once() -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(slots=3)
        nursery.start_soon(serve, agent, "a", "b", "c")
        body = (await chat(balancer, n=3)).json()
        assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
        texts = {choice["message"]["content"] for choice in body["choices"]}
        assert texts == {"a", "b", "c"}
        assert body["usage"]["prompt_tokens"] == 7
        assert body["usage"]["completion_tokens"] == 6
        await balancer.until_slots_processing(0)


async def test_the_others_start_once_the_first_has_its_prompt_evaluated() -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(slots=2)
        nursery.start_soon(functools.partial(chat, balancer, n=2))
        first = await agent.next_generate()
        await agent.events(first.request_id, STARTED)
        await balancer.until_slots_processing(1)
        await agent.events(first.request_id, text("a"))
        second = await agent.next_generate()
        await balancer.until_slots_processing(2)
        for generate in (first, second):
            await agent.events(generate.request_id, ended())


async def test_a_fleet_with_one_slot_serves_many_choices_without_a_buffer() -> None:
    async with openai_balancer(max_buffered_requests=0) as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(slots=1)
        nursery.start_soon(serve, agent, "a", "b", "c", "d")
        answer = await chat(balancer, n=4)
        assert answer.status_code == 200
        texts = [choice["message"]["content"] for choice in answer.json()["choices"]]
        assert sorted(texts) == ["a", "b", "c", "d"]


async def test_chunks_say_which_choice_they_belong_to() -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(slots=2)
        nursery.start_soon(serve, agent, "a", "b")
        async with streaming(balancer, n=2) as client:
            chunks = await chunks_of(client)
        roles = [choices_of(chunk)[0]["index"] for chunk in chunks if "role" in delta_of(chunk)]
        assert sorted(map(str, roles)) == ["0", "1"]
        ends = [choices_of(chunk)[0] for chunk in chunks if choices_of(chunk)[0]["finish_reason"]]
        assert sorted(str(end["index"]) for end in ends) == ["0", "1"]


async def test_one_failed_choice_fails_the_request_and_frees_the_others() -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(slots=2)

        async def fail_second() -> None:
            await answer_one(agent, text("a"))
            second = await agent.next_generate()
            failed = GenerationFailed(GenerationFailure.SAMPLER_ERROR, "x")
            await agent.events(second.request_id, failed)

        nursery.start_soon(fail_second)
        answer = await chat(balancer, n=2)
        assert answer.status_code == 500
        assert error_of(answer)["code"] == "sampler_error"
        await balancer.until_slots_processing(0)
        await agent.next_cancel()


async def test_seeds_of_choices_differ() -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(slots=2)
        seeds = []

        async def collect() -> None:
            for _ in range(2):
                generate = await answer_one(agent, text("a"), ended())
                seeds.append(generate.order.sampling.seed)

        nursery.start_soon(collect)
        await chat(balancer, n=2, seed=-1)
        assert sorted(map(str, seeds)) == ["0", str(2**32 - 1)]


async def test_a_request_whose_first_choice_gets_no_slot_has_the_true_status() -> None:
    async with openai_balancer(max_buffered_requests=0) as balancer:
        for is_stream in (False, True):
            answer = await chat(balancer, n=2, stream=is_stream)
            assert answer.status_code == 503
            assert error_of(answer)["code"] == "buffer_full"
