"""Links with scripted agents: introduction, liveness, endings, re-registration."""

from __future__ import annotations

import logging

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.balancer.fleet.agent_link import LinkLimits
from paddler.balancer.fleet.handshake import serve_agent_link
from paddler.messages.agents import ApplicationStatus, ModelIssue
from paddler.messages.link import (
    PROTOCOL_VERSION,
    ApplyState,
    Download,
    Hello,
    Welcome,
)
from tests.balancer.core import open_core
from tests.support.memory_channels import channel_pair
from tests.support.scripted_agents import connected, hello, start_agent


async def test_agent_is_welcomed_and_told_the_state(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello("one", slots=3)) as [agent]:
        assert isinstance(agent.received[0], Welcome)
        told = agent.received[1]
        assert isinstance(told, ApplyState)
        assert told.state == core.states.applicable
        [snapshot] = core.fleet.snapshot().agents
        assert snapshot.id == "a1"
        assert snapshot.name == "one"
        assert snapshot.desired_slots_total == 3
        assert snapshot.slots_total == 3
        assert snapshot.slots_processing == 0
        assert snapshot.model_path == "/model.gguf"
        assert snapshot.state_application_status is ApplicationStatus.APPLIED
        assert core.fleet.generation_possible.value is True


async def test_other_protocol_version_is_refused_on_both_sides(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        agent = start_agent(nursery, core.fleet)
        with caplog.at_level(logging.WARNING):
            # A hello of the future, of which only the version can be relied on.
            future = {"type": "hello", "protocol_version": PROTOCOL_VERSION + 1, "new": [1]}
            await agent.channel.send(msgspec.msgpack.encode(future))
            refusal = await agent.next_refusal()
        assert f"version {PROTOCOL_VERSION + 1}" in refusal.reason
        assert f"version {PROTOCOL_VERSION}" in refusal.reason
        assert "agent_refused" in caplog.text
        await agent.link_ended.wait()
        assert core.fleet.snapshot().agents == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"type": "status"}),
        msgspec.msgpack.encode({"type": "hello", "protocol_version": PROTOCOL_VERSION}),
        msgspec.msgpack.encode(hello(slots=0)),
    ],
)
async def test_anything_but_a_hello_is_refused(autojump_clock: MockClock, frame: bytes) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        agent = start_agent(nursery, core.fleet)
        await agent.channel.send(frame)
        assert (await agent.next_refusal()).reason
        await agent.link_ended.wait()


async def test_agent_that_says_nothing_is_refused_in_time(autojump_clock: MockClock) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        agent = start_agent(nursery, core.fleet, limits=LinkLimits(hello_timeout_s=3))
        began_at = trio.current_time()
        await agent.link_ended.wait()
        assert trio.current_time() - began_at == pytest.approx(3)


@pytest.mark.parametrize("frame", [b"\xc1", msgspec.msgpack.encode(hello())])
async def test_frame_outside_the_protocol_ends_the_link_with_a_reason(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, frame: bytes
) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        agent = start_agent(nursery, core.fleet)
        await agent.send(agent.hello)
        await wait_all_tasks_blocked()
        with caplog.at_level(logging.INFO):
            await agent.channel.send(frame)
            await agent.link_ended.wait()
        assert "agent_left" in caplog.text
        assert core.fleet.snapshot().agents == []


async def test_heartbeats_keep_a_quiet_link_alive(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello()):
        await trio.sleep(3600)
        assert len(core.fleet.snapshot().agents) == 1


async def test_silent_agent_is_gone_in_time(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello()) as [agent]:
        agent.answers_heartbeats = False
        fell_silent_at = trio.current_time()
        await agent.link_ended.wait()
        assert trio.current_time() - fell_silent_at <= 25
        assert core.fleet.snapshot().agents == []
        assert core.fleet.slots_total == 0
        assert core.fleet.generation_possible.value is False


async def test_agent_that_does_not_read_loses_its_link(autojump_clock: MockClock) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        here, there = channel_pair(0)
        nursery.start_soon(serve_agent_link, core.fleet, "a1", here)
        await there.send(msgspec.msgpack.encode(hello()))
        with trio.fail_after(60):
            await here.closed.wait()
        assert core.fleet.snapshot().agents == []


async def test_outgoing_queue_that_overflows_ends_the_link(autojump_clock: MockClock) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        here, there = channel_pair(0)
        limits = LinkLimits(max_queued_frames=10)
        nursery.start_soon(serve_agent_link, core.fleet, "a1", here, limits)
        await there.send(msgspec.msgpack.encode(hello()))
        await wait_all_tasks_blocked()
        record = core.fleet.agent("a1")
        assert record is not None
        link = core.fleet.link(record.link_id)
        assert link is not None
        assert core.states.applicable is not None
        for version in range(20):
            link.apply(ApplyState(version, core.states.applicable, 1.0))
        await wait_all_tasks_blocked()
        assert here.close_reason is not None
        assert "does not read" in here.close_reason


async def test_same_agent_replaces_its_stale_link(autojump_clock: MockClock) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        stale = start_agent(nursery, core.fleet, "a1", agent_hello=hello("old"))
        await stale.send(stale.hello)
        await wait_all_tasks_blocked()
        fresh = start_agent(nursery, core.fleet, "a1", agent_hello=hello("new", slots=2))
        await fresh.send(fresh.hello)
        await stale.link_ended.wait()
        await wait_all_tasks_blocked()
        [snapshot] = core.fleet.snapshot().agents
        assert snapshot.name == "new"
        assert core.fleet.slots_total == 2
        nursery.cancel_scope.cancel()


async def test_agents_may_share_a_name(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello("same"), hello("same")):
        assert [agent.id for agent in core.fleet.snapshot().agents] == ["a1", "a2"]
        assert core.fleet.slots_total == 2


async def test_more_agents_than_may_connect_are_refused(autojump_clock: MockClock) -> None:
    async with open_core(max_agents=1) as core, trio.open_nursery() as nursery:
        first = start_agent(nursery, core.fleet, "a1")
        await first.send(first.hello)
        await wait_all_tasks_blocked()
        second = start_agent(nursery, core.fleet, "a2")
        await second.send(second.hello)
        assert "connected already" in (await second.next_refusal()).reason
        nursery.cancel_scope.cancel()


async def test_snapshot_shows_downloads_and_issues(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello()) as [agent]:
        seen = core.fleet.changes.version
        record = core.fleet.agent("a1")
        assert record is not None
        assert record.status is not None
        download = Download(filename="m.gguf", current_bytes=5, total_bytes=10, indeterminate=False)
        await agent.send(
            msgspec.structs.replace(
                record.status,
                status=ApplicationStatus.STUCK,
                applied_version=None,
                model=None,
                download=download,
                issues=[ModelIssue("DownloadInterrupted", "m")],
            )
        )
        await core.fleet.changes.wait_past(seen)
        [snapshot] = core.fleet.snapshot().agents
        assert snapshot.download_current == 5
        assert snapshot.download_total == 10
        assert snapshot.download_filename == "m.gguf"
        assert snapshot.issues == [{"DownloadInterrupted": {"model_path": "m"}}]
        assert snapshot.state_application_status is ApplicationStatus.STUCK
        assert core.fleet.generation_possible.value is False


async def test_agent_that_is_leaving_gets_nothing_more(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello()) as [agent]:
        await agent.say_leaving()
        await wait_all_tasks_blocked()
        assert core.fleet.generation_possible.value is False


async def test_cancelled_link_closes_its_channel(autojump_clock: MockClock) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        here, there = channel_pair()
        nursery.start_soon(serve_agent_link, core.fleet, "a1", here)
        await there.send(msgspec.msgpack.encode(hello()))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert here.close_reason is not None
    assert core.fleet.snapshot().agents == []


def test_hello_of_an_agent_that_knows_no_applied_version_is_understood() -> None:
    plain = msgspec.to_builtins(hello())
    del plain["applied_version"]
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(plain), type=Hello)
    assert decoded.applied_version is None
