"""The dashboard's snapshot, over scripted agents."""

from __future__ import annotations

import random

import trio
from trio.testing import MockClock

from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.metrics.history import History, Readings
from paddler.balancer.services.management.dashboard import Dashboard, model_details
from paddler.messages.agents import ApplicationStatus, ModelIssue
from paddler.messages.link import LoadReport, SlotReport
from tests.balancer.core import Core, desired_state, open_core
from tests.support.scripted_agents import connected, hello, model_description


def dashboard_of(core: Core) -> Dashboard:
    nothing = Readings(processing=lambda: 0, buffered=lambda: 0, tokens_per_s=lambda: 0.0)
    return Dashboard(
        fleet=core.fleet,
        buffer=core.buffer,
        states=core.states,
        history=History(nothing, instance=f"run-{random.Random(0).random()}"),
    )


LOAD = LoadReport(
    slots=[SlotReport("decode", 70), SlotReport("free", 12)],
    generated_tokens_per_s=33.0,
    prompt_cache_bytes=1000,
)


async def test_an_agent_is_shown_with_its_slots_while_it_works(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello("one", 2)) as [agent]:
        await trio.testing.wait_all_tasks_blocked()
        dashboard = dashboard_of(core)
        async with core.buffer.slot(SlotHints(kind=RequestKind.GENERATION)):
            await agent.send(LOAD)
            await trio.testing.wait_all_tasks_blocked()
            [shown] = dashboard.snapshot().agents
            assert [slot.state for slot in shown.slots] == ["decode", "free"]
            assert shown.slots[1].cached_tokens == 12
            assert shown.tokens_per_s == 33.0
            assert shown.slots_processing == 1
        [idle] = dashboard.snapshot().agents
        assert [slot.state for slot in idle.slots] == ["free", "free"]
        assert idle.slots[0].cached_tokens == 70
        assert idle.tokens_per_s == 0.0


async def test_slots_are_shown_before_the_first_report_of_load(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello("one", 3)):
        await trio.testing.wait_all_tasks_blocked()
        [shown] = dashboard_of(core).snapshot().agents
        assert [(slot.state, slot.cached_tokens) for slot in shown.slots] == [("free", 0)] * 3
        assert shown.stage == "applied"


async def test_a_failed_rollout_tells_who_failed_and_who_is_kept_back(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello("one"), hello("two")) as [first, second],
    ):
        await trio.testing.wait_all_tasks_blocked()
        first.applies = second.applies = False
        await core.states.put(desired_state("/other.gguf"))
        await trio.testing.wait_all_tasks_blocked()
        record = next(one for one in core.fleet.records if one.told_version != one.applied_version)
        failing = first if record.id == first.id else second
        issue = ModelIssue("ModelFileDoesNotExist", "/other.gguf")
        await failing.report(ApplicationStatus.STUCK, issues=[issue])
        await trio.testing.wait_all_tasks_blocked()

        snapshot = dashboard_of(core).snapshot()
        assert snapshot.model_path == "/other.gguf"
        assert (snapshot.rollout.failed, snapshot.rollout.kept_back) == (1, 1)
        assert {agent.stage for agent in snapshot.agents} == {"failed", "kept_back"}
        for agent in snapshot.agents:
            assert [shown.kind for shown in agent.issues] == ["ModelFileDoesNotExist"]


async def test_all_who_watch_share_one_snapshot_per_tick(autojump_clock: MockClock) -> None:
    async with open_core() as core:
        dashboard = dashboard_of(core)
        assert dashboard.json() is dashboard.json()
        before = dashboard.json()
        dashboard.history.tick()
        assert dashboard.json() is not before


def test_details_of_a_model_carry_metadata_and_template() -> None:
    model = model_description(metadata={"general.name": "m"}, chat_template="{{ x }}")
    details = model_details(model)
    assert details.metadata == {"general.name": "m"}
    assert details.chat_template == "{{ x }}"
