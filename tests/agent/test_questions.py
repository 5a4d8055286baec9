"""Questions of the balancer: a template that is tried for somebody who writes one."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from paddler.agent.link.outbox import Outbox
from paddler.agent.questions import MAX_WAITING, Questions
from paddler.messages.link import (
    Answered,
    Ask,
    CheckTemplate,
    EventBatch,
    Question,
    TemplateChecked,
)
from paddler.messages.templates import TemplateCheck
from tests.support.agent_harness import running_agent, state_of


def ask(request_id: int, source: str) -> Ask:
    return Ask(request_id, CheckTemplate(source))


def answered(request_id: int, check: TemplateCheck) -> Answered:
    return Answered(request_id, TemplateChecked(check))


async def taken(outbox: Outbox, n_frames: int) -> list[Answered]:
    frames: list[Answered] = []
    while len(frames) < n_frames:
        for frame in await outbox.take():
            assert isinstance(frame, Answered)
            frames.append(frame)
    return frames


async def test_an_agent_tries_templates_with_and_without_a_model(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.send(ask(1, "broken"))
        await link.until(lambda: len(link.of(Answered)) == 1)
        await link.serve(state_of())
        await link.generate(2, "a prompt")
        await link.send(ask(3, "good"))
        await link.until(lambda: len(link.of(Answered)) == 2)
        assert link.of(Answered) == [
            answered(1, TemplateCheck(error="line 1: unexpected end")),
            answered(3, TemplateCheck(preview="good: Hello")),
        ]
        await link.done(2)
        assert link.of(EventBatch)


async def test_more_than_may_wait_are_refused_at_once() -> None:
    outbox = Outbox(100)

    async def find_answer(question: Question) -> TemplateChecked:
        return TemplateChecked(TemplateCheck(preview=question.source))

    questions = Questions(find_answer)
    for number in range(MAX_WAITING + 1):
        questions.asked(ask(number, f"template {number}"), outbox)
    assert await outbox.take() == [Answered(MAX_WAITING, None)]
    async with trio.open_nursery() as nursery:
        await nursery.start(questions.run)
        frames = await taken(outbox, MAX_WAITING)
        nursery.cancel_scope.cancel()
    assert [frame.request_id for frame in frames] == list(range(MAX_WAITING))


async def test_one_that_fails_does_not_end_the_agent() -> None:
    outbox = Outbox(100)

    async def find_answer(question: Question) -> TemplateChecked:
        if question.source == "first":
            raise OSError("no more processes")
        return TemplateChecked(TemplateCheck(preview=question.source))

    questions = Questions(find_answer)
    questions.asked(ask(1, "first"), outbox)
    questions.asked(ask(2, "second"), outbox)
    async with trio.open_nursery() as nursery:
        await nursery.start(questions.run)
        frames = await taken(outbox, 2)
        nursery.cancel_scope.cancel()
    assert frames == [Answered(1, None), answered(2, TemplateCheck(preview="second"))]
