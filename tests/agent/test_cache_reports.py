"""Cache reports over a link, in virtual time."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from paddler.messages.generation import GenerationOrder, RawPrompt
from paddler.messages.link import CacheReport, Generate
from tests.support.agent_harness import running_agent, state_of
from tests.support.scripted_engine import ModelScript


async def test_agent_reports_what_its_slots_hold(autojump_clock: MockClock) -> None:
    script = ModelScript(reply="x" * 20, token_interval_s=0.1)
    async with running_agent({"model.gguf": script}, slots=1) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        order = GenerationOrder(prompt=RawPrompt("x"))
        for request_id, tip in ((1, 11), (2, 12)):
            await link.send(Generate(request_id=request_id, order=order, prefix_chain=[10, tip]))
            await link.until_events(request_id, 5)
            await trio.sleep(1)
            assert link.of(CacheReport)[-1] == CacheReport([tip])
            await link.done(request_id)
            await trio.sleep(2)
            assert link.of(CacheReport)[-1] == CacheReport([tip])
        n_reports = len(link.of(CacheReport))
        await trio.sleep(1000)
        assert len(link.of(CacheReport)) == n_reports
