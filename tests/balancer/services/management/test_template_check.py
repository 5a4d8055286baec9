"""Trying a chat template before it is applied: an agent does it, nothing else changes."""

from __future__ import annotations

import httpx
import trio

from paddler.messages.link import Answered, Ask, CheckTemplate, TemplateChecked
from paddler.messages.templates import TemplateCheck
from tests.support.running_balancer import RunningBalancer, running_balancer

PATH = "/api/v1/chat_template_check"


async def check(balancer: RunningBalancer, content: object = "{{ messages }}") -> httpx.Response:
    return await balancer.http.post(balancer.management_url + PATH, json={"content": content})


async def test_an_agent_tells_what_a_template_makes_of_a_conversation() -> None:
    async with running_balancer() as balancer:
        agent = await balancer.join()
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answers.append(await check(balancer))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            asked = await agent.next(Ask)
            assert asked.question == CheckTemplate("{{ messages }}")
            checked = TemplateChecked(TemplateCheck(preview="Hello"))
            await agent.send(Answered(asked.request_id, checked))
        assert answers[0].status_code == 200
        assert answers[0].json() == {"error": None, "warning": None, "preview": "Hello"}


async def test_without_an_agent_nothing_can_be_tried() -> None:
    async with running_balancer() as balancer:
        answer = await check(balancer)
        assert answer.status_code == 503
        assert "no agent" in answer.text


async def test_an_agent_that_cannot_try_it_or_goes_away_does_not_leave_anybody_waiting() -> None:
    async with running_balancer() as balancer:
        for ends_by_leaving in (False, True):
            agent = await balancer.join("a1" if ends_by_leaving else "a2")
            answers: list[httpx.Response] = []

            async def ask(answers: list[httpx.Response] = answers) -> None:
                answers.append(await check(balancer))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                asked = await agent.next(Ask)
                if ends_by_leaving:
                    await agent.vanish()
                else:
                    await agent.send(Answered(asked.request_id, None))
                    await agent.vanish()
            assert answers[0].status_code == 503


async def test_what_is_no_template_is_refused() -> None:
    async with running_balancer() as balancer:
        await balancer.join()
        answer = await check(balancer, content=7)
        assert answer.status_code == 400
        assert "content" in answer.text
