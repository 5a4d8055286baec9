"""A client that leaves frees its slots at once, whatever it was waiting for."""

from __future__ import annotations

import pytest

from tests.balancer.services.openai.serving import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    HELLO,
    RESPONSES,
    STARTED,
    answer_one,
    next_data,
    openai_balancer,
    streaming,
    text,
    url_of,
)
from tests.support.line_clients import asking
from tests.support.running_balancer import desired_state
from tests.support.scripted_agents import ScriptedAgent, model_description

REQUESTS = [
    (CHAT, {"messages": HELLO}),
    (COMPLETIONS, {"prompt": "Once"}),
    (RESPONSES, {"input": "Hello"}),
]


@pytest.mark.parametrize(("path", "body"), REQUESTS)
async def test_leaving_while_the_answer_is_gathered(path: str, body: dict[str, object]) -> None:
    async with openai_balancer() as balancer:
        agent = await balancer.join()
        async with asking(url_of(balancer), path, body):
            await answer_one(agent, text("a"))
            await balancer.until_slots_processing(1)
        await agent.next_cancel()
        await balancer.until_slots_processing(0)


@pytest.mark.parametrize(("path", "body"), REQUESTS)
async def test_leaving_in_the_middle_of_a_stream(path: str, body: dict[str, object]) -> None:
    async with openai_balancer() as balancer:
        agent = await balancer.join()
        async with streaming(balancer, path, **body) as client:
            await answer_one(agent, text("a"))
            await next_data(client)
        await agent.next_cancel()
        await balancer.until_slots_processing(0)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_leaving_before_the_first_token(is_stream: bool) -> None:
    async with openai_balancer() as balancer:
        agent = await balancer.join()
        body = {"messages": HELLO, "stream": is_stream}
        async with asking(url_of(balancer), CHAT, body):
            generate = await agent.next_generate()
            await agent.events(generate.request_id, STARTED)
        await agent.next_cancel()
        await balancer.until_slots_processing(0)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_leaving_the_buffer(is_stream: bool) -> None:
    async with openai_balancer() as balancer:
        body = {"messages": HELLO, "stream": is_stream}
        async with asking(url_of(balancer), CHAT, body):
            await balancer.until_buffered(1)
        await balancer.until_buffered(0)


async def test_leaving_frees_the_slots_of_all_choices() -> None:
    async with openai_balancer() as balancer:
        agent = await balancer.join(slots=2)
        async with asking(url_of(balancer), CHAT, {"messages": HELLO, "n": 4}):
            await answer_one(agent, text("a"))
            await agent.next_generate()
            await balancer.until_slots_processing(2)
            await balancer.until_buffered(2)
        await balancer.until_slots_processing(0)
        await balancer.until_buffered(0)


async def test_leaving_while_texts_are_embedded() -> None:
    def embeds(agent: ScriptedAgent) -> None:
        agent.model = model_description(can_embed=True)

    async with openai_balancer(desired=desired_state(enable_embeddings=True)) as balancer:
        await balancer.join(setup=embeds)
        async with asking(url_of(balancer), EMBEDDINGS, {"input": ["a", "b"]}):
            await balancer.until_slots_processing(1)
        await balancer.until_slots_processing(0)
