"""A whole agent that is told states: what it serves, what it says, what it drains."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.agent.model_sources.errors import CacheCannotAcquireLock, DownloadServerErrored
from paddler.engine import errors
from paddler.messages.agents import (
    ApplicationStatus,
    ChatTemplateIssue,
    HuggingFaceLockIssue,
    ModelIssue,
    SlotIssue,
)
from paddler.messages.link import AgentStatus, HandedOver, LoadReport
from tests.support.agent_harness import running_agent, state_of
from tests.support.scripted_engine import ModelScript

APPLIED = ApplicationStatus.APPLIED
PATH = "/models/model.gguf"


async def test_agent_tells_its_model_once_it_is_loaded(autojump_clock: MockClock) -> None:
    async with running_agent({"model.gguf": ModelScript(load_s=5.0)}) as agent:
        link = await agent.balancer.welcome()
        first = await link.first(AgentStatus)
        assert first.status is ApplicationStatus.FRESH
        assert first.model is None
        assert first.slots_total == 0
        status = await link.serve(state_of(context_size=512), version=77)
        assert status.applied_version == 77
        assert status.slots_total == 2
        assert status.download is None
        assert status.model is not None
        assert status.model.path == PATH
        assert status.model.name == "scripted"
        assert status.model.context_tokens == 512
        assert not status.model.can_embed
        assert not status.model.uses_chat_template_override
        loads = [each.download for each in link.of(AgentStatus) if each.download is not None]
        assert loads
        assert loads[0].filename == "model.gguf"


async def test_what_the_agent_was_started_with_reaches_the_engine(
    autojump_clock: MockClock,
) -> None:
    async with running_agent(
        slots=3, n_threads=5, prompt_cache_bytes=1000, prefill_budget_ms=250
    ) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        options = agent.engine.options
    assert options.n_slots == 3
    assert options.n_threads == 5
    assert options.prompt_cache_bytes == 1000
    assert options.prefill_budget_ms == 250


async def test_what_is_served_already_is_not_loaded_again(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        await link.apply(state_of())
        await wait_all_tasks_blocked()
        assert len(agent.backend.opened) == 1


async def test_sampling_parameters_change_without_a_reload(autojump_clock: MockClock) -> None:
    script = ModelScript(reply="x" * 100, token_interval_s=1.0)
    async with running_agent({"model.gguf": script}) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        await link.generate(1, "x")
        await link.until_events(1, 2)
        await link.serve(state_of(temperature=0.25, image_resize_to_fit=99), version=2)
        assert len(agent.backend.opened) == 1
        script.reply = "y"
        await link.generate(2, "x")
        await link.done(2)
        await link.done(1)
        temperatures = [request.sampling.temperature for request in agent.engine.requests]
        assert temperatures == [0.8, 0.25]


async def test_running_requests_end_before_the_next_model_is_loaded(
    autojump_clock: MockClock,
) -> None:
    scripts = {"model.gguf": ModelScript(reply="x" * 20), "next.gguf": ModelScript(reply="next")}
    async with running_agent(scripts) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        await link.generate(1, "x")
        await link.until_events(1, 2)
        await link.apply(state_of("next.gguf"), version=2)
        await wait_all_tasks_blocked()
        await link.generate(2, "came too late for the old model")
        assert (await link.first(HandedOver)).request_ids == [2]
        await link.until_status(APPLIED, 2)
        assert link.text(1) == "x" * 20
        assert agent.backend.opened[0].closed
        await link.generate(3, "x")
        await link.done(3)
        assert link.text(3) == "next"


async def test_what_outlasts_the_drain_is_handed_over(autojump_clock: MockClock) -> None:
    scripts = {
        "model.gguf": ModelScript(reply="x" * 100, token_interval_s=1.0),
        "next.gguf": ModelScript(),
    }
    async with running_agent(scripts) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        await link.generate(1, "x")
        await link.until_events(1, 2)
        told_at = trio.current_time()
        await link.apply(state_of("next.gguf"), version=2, drain_timeout_s=5.0)
        assert (await link.first(HandedOver)).request_ids == [1]
        assert 5.0 <= trio.current_time() - told_at < 6.0
        await link.until_status(APPLIED, 2)
        n_events = len(link.events(1))
        await trio.sleep(20)
        assert len(link.events(1)) == n_events


async def test_never_are_two_models_open(autojump_clock: MockClock) -> None:
    scripts = {f"{i}.gguf": ModelScript(load_s=1.0) for i in range(4)}
    async with running_agent(scripts) as agent:
        link = await agent.balancer.welcome()
        for version in range(12):
            await link.apply(state_of(f"{version % 4}.gguf"), version=version)
            await trio.sleep(0.3 * version)
            assert len(agent.backend.open_engines) <= 1
        await link.until_status(APPLIED, 11)
        assert len(agent.backend.open_engines) == 1


async def test_newer_state_cancels_the_older_load(autojump_clock: MockClock) -> None:
    scripts = {"slow.gguf": ModelScript(load_s=1000.0), "model.gguf": ModelScript()}
    async with running_agent(scripts) as agent:
        link = await agent.balancer.welcome()
        await link.apply(state_of("slow.gguf"), version=1)
        await trio.sleep(10)
        before = trio.current_time()
        await link.serve(state_of(), version=2)
        assert trio.current_time() - before < 1
        assert len(agent.backend.opened) == 1


async def test_return_to_the_old_state_while_it_drains_keeps_the_engine(
    autojump_clock: MockClock,
) -> None:
    scripts = {
        "model.gguf": ModelScript(reply="x" * 10, token_interval_s=1.0),
        "next.gguf": ModelScript(),
    }
    async with running_agent(scripts) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        await link.generate(1, "x")
        await link.until_events(1, 2)
        await link.apply(state_of("next.gguf"), version=2)
        await trio.sleep(2)
        await link.serve(state_of(), version=1)
        await link.generate(2, "x")
        await link.done(1)
        await link.done(2)
        assert len(agent.backend.opened) == 1


async def test_no_model_unloads(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        status = await link.serve(state_of(None), version=2)
        assert status.model is None
        assert status.slots_total == 0
        assert agent.backend.open_engines == []


async def test_missing_file_is_retried_and_its_issue_clears(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        agent.fetcher.files = set()
        link = await agent.balancer.welcome()
        await link.apply(state_of())
        retrying = await link.until_status(ApplicationStatus.ATTEMPTED_AND_RETRYING, 1)
        assert retrying.issues == [ModelIssue("ModelFileDoesNotExist", PATH)]
        stuck = await link.until_status(ApplicationStatus.STUCK, 1)
        assert stuck.issues == retrying.issues
        agent.fetcher.files = {"model.gguf"}
        applied = await link.until_status(APPLIED, 1)
        assert applied.issues == []


async def test_retries_slow_down_to_a_limit(autojump_clock: MockClock) -> None:
    async with running_agent(retry_first_s=1.0, retry_longest_s=60.0) as agent:
        agent.fetcher.error = DownloadServerErrored("status 500")
        link = await agent.balancer.welcome()
        await link.apply(state_of())
        await trio.sleep(3600)
        assert 60 <= agent.fetcher.n_fetched <= 140
        assert link.status is not None
        assert link.status.status is ApplicationStatus.STUCK


async def test_waiting_for_somebody_elses_download_is_not_stuck(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        agent.fetcher.error = CacheCannotAcquireLock("held")
        link = await agent.balancer.welcome()
        await link.apply(state_of())
        await trio.sleep(600)
        assert link.status is not None
        assert link.status.status is ApplicationStatus.ATTEMPTED_AND_RETRYING
        agent.fetcher.error = None
        await link.until_status(APPLIED, 1)


@pytest.mark.parametrize(
    ("error", "issue"),
    [
        (errors.BadModelFile("not a GGUF"), ModelIssue("ModelCannotBeLoaded", PATH)),
        (errors.Unsupported("no"), ModelIssue("ModelCannotBeLoaded", PATH)),
        (errors.InvalidArgument("cache types"), SlotIssue("cache types", 0)),
    ],
)
async def test_what_cannot_be_loaded_is_not_tried_again(
    autojump_clock: MockClock, error: errors.EngineError, issue: object
) -> None:
    script = ModelScript(load_error=error)
    async with running_agent({"model.gguf": script, "good.gguf": ModelScript()}) as agent:
        link = await agent.balancer.welcome()
        await link.apply(state_of())
        status = await link.until_status(ApplicationStatus.ATTEMPTED_AND_NOT_APPLIABLE, 1)
        assert status.issues == [issue]
        await trio.sleep(1000)
        assert agent.fetcher.n_fetched == 1
        status = await link.serve(state_of("good.gguf"), version=2)
        assert status.issues == []
        # Told again, it is tried again: the file may have been replaced.
        script.load_error = None
        await link.serve(state_of(), version=1)


async def test_out_of_memory_is_tried_again(autojump_clock: MockClock) -> None:
    script = ModelScript(load_error=errors.OutOfMemory("too large"))
    async with running_agent({"model.gguf": script}) as agent:
        link = await agent.balancer.welcome()
        await link.apply(state_of())
        status = await link.until_status(ApplicationStatus.ATTEMPTED_AND_RETRYING, 1)
        assert status.issues == [ModelIssue("ModelCannotBeLoaded", PATH)]
        script.load_error = None
        await link.until_status(APPLIED, 1)


async def test_download_that_fails_leaves_the_old_model_in_memory(
    autojump_clock: MockClock,
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        agent.fetcher.error = DownloadServerErrored("status 500")
        await link.apply(state_of("other.gguf"), version=2)
        await link.until_status(ApplicationStatus.ATTEMPTED_AND_RETRYING, 2)
        status = await link.serve(state_of(), version=1)
        assert status.issues == []
        assert len(agent.backend.opened) == 1
        await link.generate(1, "x")
        await link.done(1)


async def test_model_without_template_is_served_with_an_issue(autojump_clock: MockClock) -> None:
    async with running_agent({"model.gguf": ModelScript(chat_template=None)}) as agent:
        link = await agent.balancer.welcome()
        status = await link.serve(state_of())
        assert status.issues == [ModelIssue("UnableToFindChatTemplate", PATH)]
        status = await link.serve(state_of(template="mine"), version=2)
        assert status.issues == []
        assert status.model is not None
        assert status.model.uses_chat_template_override
        assert status.model.chat_template == "mine"


async def test_template_that_does_not_compile_is_an_issue(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        status = await link.serve(state_of(template="broken"))
        assert status.issues == [ChatTemplateIssue("line 1: unexpected end", PATH, "broken")]


async def test_lock_of_the_hub_is_an_issue_of_its_own(autojump_clock: MockClock) -> None:
    from paddler.agent.model_sources.errors import HuggingFaceCannotAcquireLock

    async with running_agent() as agent:
        agent.fetcher.error = HuggingFaceCannotAcquireLock("held", lock_path="/cache/x.lock")
        link = await agent.balancer.welcome()
        await link.apply(state_of())
        status = await link.until_status(ApplicationStatus.ATTEMPTED_AND_RETRYING, 1)
        assert status.issues == [HuggingFaceLockIssue("/cache/x.lock", PATH)]


async def test_fault_of_the_agent_is_contained_and_tried_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_agent() as agent:
        agent.fetcher.error = ZeroDivisionError("a bug")
        link = await agent.balancer.welcome()
        await link.apply(state_of())
        await link.until_status(ApplicationStatus.ATTEMPTED_AND_RETRYING, 1)
        agent.fetcher.error = None
        await link.until_status(APPLIED, 1)
        assert "attempt_broke" in caplog.text


async def test_load_is_reported_while_slots_work_and_then_no_more(
    autojump_clock: MockClock,
) -> None:
    script = ModelScript(reply="x" * 100, token_interval_s=0.1)
    async with running_agent({"model.gguf": script}) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        await link.generate(1, "x")
        await link.done(1)
        await trio.sleep(5)
        reports = link.of(LoadReport)
        assert 3 <= len(reports) <= 4 * 10 + 4
        busy = [report for report in reports if report.slots[0].state == "decode"]
        assert busy
        assert busy[-1].generated_tokens_per_s == pytest.approx(10, rel=0.3)
        assert reports[-1].slots[0].state == "free"
        assert link.status is not None
        assert link.status.prefill_tokens_per_s == 100.0
        await trio.sleep(1000)
        assert link.of(LoadReport) == reports
