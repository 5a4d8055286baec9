"""Templates that are tried for somebody who writes one."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from paddler.agent.link.outbox import Outbox
from paddler.agent.template_checks import MAX_WAITING, TemplateChecks
from paddler.messages.link import CheckTemplate, EventBatch, TemplateChecked
from paddler.messages.templates import TemplateCheck
from tests.support.agent_harness import running_agent, state_of


async def taken(outbox: Outbox, n_frames: int) -> list[TemplateChecked]:
    frames: list[TemplateChecked] = []
    while len(frames) < n_frames:
        for frame in await outbox.take():
            assert isinstance(frame, TemplateChecked)
            frames.append(frame)
    return frames


async def test_an_agent_tries_templates_with_and_without_a_model(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.send(CheckTemplate(1, "broken"))
        await link.until(lambda: len(link.of(TemplateChecked)) == 1)
        await link.serve(state_of())
        await link.generate(2, "a prompt")
        await link.send(CheckTemplate(3, "good"))
        await link.until(lambda: len(link.of(TemplateChecked)) == 2)
        assert link.of(TemplateChecked) == [
            TemplateChecked(1, TemplateCheck(error="line 1: unexpected end")),
            TemplateChecked(3, TemplateCheck(preview="good: Hello")),
        ]
        await link.done(2)
        assert link.of(EventBatch)


async def test_more_than_may_wait_are_refused_at_once() -> None:
    outbox = Outbox(100)

    async def check(source: str) -> TemplateCheck:
        return TemplateCheck(preview=source)

    checks = TemplateChecks(check)
    for number in range(MAX_WAITING + 1):
        checks.asked(CheckTemplate(number, f"template {number}"), outbox)
    assert await outbox.take() == [TemplateChecked(MAX_WAITING, None)]
    async with trio.open_nursery() as nursery:
        await nursery.start(checks.run)
        answered = await taken(outbox, MAX_WAITING)
        nursery.cancel_scope.cancel()
    assert [frame.request_id for frame in answered] == list(range(MAX_WAITING))


async def test_one_that_fails_does_not_end_the_agent() -> None:
    outbox = Outbox(100)

    async def check(source: str) -> TemplateCheck:
        if source == "first":
            raise OSError("no more processes")
        return TemplateCheck(preview=source)

    checks = TemplateChecks(check)
    checks.asked(CheckTemplate(1, "first"), outbox)
    checks.asked(CheckTemplate(2, "second"), outbox)
    async with trio.open_nursery() as nursery:
        await nursery.start(checks.run)
        answered = await taken(outbox, 2)
        nursery.cancel_scope.cancel()
    assert answered == [
        TemplateChecked(1, None),
        TemplateChecked(2, TemplateCheck(preview="second")),
    ]
