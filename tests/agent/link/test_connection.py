"""The link of a whole agent: introductions, losses, silence, and the end.

Virtual time; real WebSocket frames over memory streams.
"""

from __future__ import annotations

import itertools

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.agent.link.outbox import Outbox
from paddler.concurrency.mailbox import MailboxClosed
from paddler.messages.agents import ApplicationStatus
from paddler.messages.generation import TokenClass, TokenEvent
from paddler.messages.link import (
    PROTOCOL_VERSION,
    AgentStatus,
    EventBatch,
    HandedOver,
    Heartbeat,
    Hello,
    Leaving,
    RequestEvents,
    Welcome,
)
from tests.support.agent_harness import running_agent, state_of
from tests.support.scripted_engine import ModelScript


async def test_agent_introduces_itself(autojump_clock: MockClock) -> None:
    async with running_agent(slots=3) as agent:
        link = await agent.balancer.welcome()
        hello = await link.first(Hello)
        assert hello.protocol_version == PROTOCOL_VERSION
        assert hello.name == "agent-1"
        assert hello.slots == 3
        assert hello.llama_cpp_version == "scripted"
        assert hello.applied_version is None


async def test_agent_that_comes_back_tells_what_it_serves(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of(), version=123)
        await link.break_off()
        link = await agent.balancer.welcome()
        assert (await link.first(Hello)).applied_version == 123
        status = await link.first(AgentStatus)
        assert status.applied_version == 123
        assert status.model is not None


async def test_agent_waits_for_a_balancer_that_is_not_there_yet(autojump_clock: MockClock) -> None:
    async with running_agent(
        reachable=False, reconnect_first_s=0.5, reconnect_longest_s=8.0
    ) as agent:
        await trio.sleep(600)
        dialled = agent.balancer.dialled_at
        waits = [later - earlier for earlier, later in itertools.pairwise(dialled)]
        assert all(0.25 <= wait <= 8.0 for wait in waits)
        assert all(wait >= 4.0 for wait in waits[6:])
        assert len(set(waits)) > 10
        agent.balancer.reachable = True
        await agent.balancer.welcome()


async def test_waits_start_over_after_a_link_that_worked(autojump_clock: MockClock) -> None:
    async with running_agent(
        reachable=False, reconnect_first_s=0.5, reconnect_longest_s=60.0
    ) as agent:
        await trio.sleep(300)
        agent.balancer.reachable = True
        link = await agent.balancer.welcome()
        await link.first(AgentStatus)
        await link.break_off()
        lost_at = trio.current_time()
        await agent.balancer.welcome()
        assert trio.current_time() - lost_at <= 0.5


async def test_refusal_is_logged_with_its_reason_and_tried_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.refuse("speak version 2")
        await agent.balancer.welcome()
        assert link.closed.is_set()
        assert "speak version 2" in caplog.text


async def test_balancer_that_does_not_welcome_is_left(autojump_clock: MockClock) -> None:
    async with running_agent(welcome_timeout_s=10.0) as agent:
        link = await agent.balancer.accept()
        await link.first(Hello)
        asked_at = trio.current_time()
        await link.closed.wait()
        assert trio.current_time() - asked_at == pytest.approx(10, abs=1.5)
        await agent.balancer.welcome()


@pytest.mark.parametrize("frame", [b"\xc1", b"", b"\x81\xa4type\xa3abc"])
async def test_frame_that_does_not_decode_ends_the_link_only(
    autojump_clock: MockClock, frame: bytes
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.first(AgentStatus)
        await link._connection.send_message(frame)
        await link.closed.wait()
        await agent.balancer.welcome()


async def test_text_frame_and_second_welcome_end_the_link(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link._connection.send_message("text")
        await link.closed.wait()
        link = await agent.balancer.welcome()
        await link.send(Welcome("again"))
        await link.closed.wait()
        await agent.balancer.welcome()


async def test_heartbeat_is_answered(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.send(Heartbeat())
        await link.first(Heartbeat)


async def test_balancer_that_fell_silent_is_left(autojump_clock: MockClock) -> None:
    async with running_agent(ping_interval_s=5.0, ping_timeout_s=15.0) as agent:
        agent.balancer.lockstep = True
        link = await agent.balancer.welcome()
        await link.first(AgentStatus)
        # The far end's reader stops: nobody answers pings any more.
        link._connection._reader_running = False
        await link.send(Heartbeat())
        silent_at = trio.current_time()
        agent.balancer.lockstep = False
        await agent.balancer.welcome()
        assert trio.current_time() - silent_at < 5 + 15 + 5


async def test_silent_link_stays_open_while_pings_are_answered(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await trio.sleep(3600)
        assert not link.closed.is_set()
        assert len(agent.balancer.dialled_at) == 1


async def test_download_progress_is_told_a_few_times_a_second(autojump_clock: MockClock) -> None:
    async with running_agent({"model.gguf": ModelScript(load_s=0.5)}) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        downloads = [status for status in link.of(AgentStatus) if status.download is not None]
        assert 1 <= len(downloads) <= 4


async def test_stopping_agent_leaves_hands_over_and_closes(autojump_clock: MockClock) -> None:
    script = ModelScript(reply="x" * 1000, token_interval_s=1.0)
    async with running_agent({"model.gguf": script}) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        await link.generate(1, "x")
        await link.generate(2, "x")
        await link.until_events(2, 2)
        stopped_at = trio.current_time()
        agent.stop.set()
        await agent.stopped.wait()
        assert trio.current_time() - stopped_at < 5
        await link.closed.wait()
        leaving = link.frames.index(link.of(Leaving)[0])
        handed = [request_id for frame in link.of(HandedOver) for request_id in frame.request_ids]
        assert sorted(handed) == [1, 2]
        assert all(link.frames.index(frame) > leaving for frame in link.of(HandedOver))
        assert agent.engine.closed
        assert len(agent.balancer.dialled_at) == 1


async def test_agent_stops_while_it_waits_dials_or_loads(autojump_clock: MockClock) -> None:
    async with running_agent(reachable=False) as agent:
        await trio.sleep(100)
        agent.stop.set()
        with trio.fail_after(1):
            await agent.stopped.wait()
    async with running_agent() as agent:
        await agent.balancer.accept()
        agent.stop.set()
        with trio.fail_after(5):
            await agent.stopped.wait()
    async with running_agent({"model.gguf": ModelScript(load_s=1000.0)}) as agent:
        link = await agent.balancer.welcome()
        await link.apply(state_of())
        await trio.sleep(10)
        agent.stop.set()
        with trio.fail_after(5):
            await agent.stopped.wait()
        assert agent.backend.opened == []


async def test_agent_stops_in_time_though_its_balancer_reads_nothing(
    autojump_clock: MockClock,
) -> None:
    async with running_agent() as agent:
        agent.balancer.lockstep = True
        link = await agent.balancer.welcome()
        await link.serve(state_of())
        link._connection._reader_running = False
        await link.send(Heartbeat())
        agent.stop.set()
        with trio.fail_after(6):
            await agent.stopped.wait()
        assert agent.engine.closed


async def test_retry_does_not_follow_a_stop(autojump_clock: MockClock) -> None:
    async with running_agent() as agent:
        agent.fetcher.files = set()
        link = await agent.balancer.welcome()
        await link.apply(state_of())
        await link.until_status(ApplicationStatus.ATTEMPTED_AND_RETRYING, 1)
        agent.stop.set()
        await agent.stopped.wait()
        n_fetched = agent.fetcher.n_fetched
        await trio.sleep(600)
        assert agent.fetcher.n_fetched == n_fetched


def event(text: str) -> TokenEvent:
    return TokenEvent(TokenClass.CONTENT, text, [1])


async def test_outbox_merges_events_and_keeps_the_order_of_other_frames() -> None:
    outbox = Outbox(100)
    outbox.post_event(1, event("a"))
    outbox.post_event(2, event("b"))
    outbox.post_event(1, event("c"))
    outbox.post_frame(HandedOver([2], "reason"))
    outbox.post_event(1, event("d"))
    assert await outbox.take() == [
        EventBatch([RequestEvents(1, [event("a"), event("c")]), RequestEvents(2, [event("b")])]),
        HandedOver([2], "reason"),
        EventBatch([RequestEvents(1, [event("d")])]),
    ]


async def test_full_outbox_says_so_and_keeps_what_it_has() -> None:
    outbox = Outbox(2)
    for text in "abc":
        outbox.post_event(1, event(text))
    assert outbox.overflowed.is_set()
    assert len(outbox) == 2


async def test_closed_outbox_is_taken_to_its_end() -> None:
    outbox = Outbox(2)
    outbox.post_event(1, event("a"))
    outbox.close()
    outbox.post_event(1, event("b"))
    assert len(await outbox.take()) == 1
    with pytest.raises(MailboxClosed):
        await outbox.take()


async def test_discarded_outbox_wakes_its_writer(autojump_clock: MockClock) -> None:
    outbox = Outbox(2)
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(MailboxClosed):
                await outbox.take()

        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        outbox.discard()
