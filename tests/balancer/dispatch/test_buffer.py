"""The buffer in virtual time: bounds, order, timeouts, cancellation."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.balancer.dispatch.buffer import Buffer
from paddler.balancer.dispatch.errors import BufferFull, BufferTimeout, ShuttingDown
from paddler.balancer.dispatch.pool import AgentSlots
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.dispatch.routing.cost_router import LeastBusyRouter

HINTS = SlotHints()


def make_buffer(max_waiting: int = 30, timeout_s: float = 10.0) -> Buffer:
    return Buffer(
        router=LeastBusyRouter(random.Random(0)), max_waiting=max_waiting, timeout_s=timeout_s
    )


def add_agent(buffer: Buffer, n_slots: int) -> AgentSlots:
    agent = buffer.pool.join()
    serves = frozenset({RequestKind.GENERATION})
    buffer.pool.update(agent, n_slots=n_slots, serves=serves, state_version=1)
    return agent


async def test_ten_requests_on_four_slots_all_finish_in_order(autojump_clock: MockClock) -> None:
    buffer = make_buffer()
    add_agent(buffer, 4)
    begun: list[int] = []
    n_running = 0

    async def request(number: int) -> None:
        nonlocal n_running
        async with buffer.slot(HINTS):
            begun.append(number)
            n_running += 1
            assert n_running <= 4
            await trio.sleep(1 + number / 100)
            n_running -= 1

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(request, number)
            await wait_all_tasks_blocked()
        assert buffer.waiting.value == 6
    assert begun == list(range(10))
    assert buffer.waiting.value == 0


async def test_waiter_gets_a_timeout_and_leaves_no_trace(autojump_clock: MockClock) -> None:
    buffer = make_buffer(timeout_s=2.5)
    began_at = trio.current_time()
    with pytest.raises(BufferTimeout, match="2500 ms"):
        async with buffer.slot(HINTS):
            pytest.fail("there is no slot")
    assert trio.current_time() - began_at == pytest.approx(2.5)
    assert buffer.waiting.value == 0
    agent = add_agent(buffer, 1)
    assert agent.n_leased == 0


async def test_errors_say_what_is_missing(autojump_clock: MockClock) -> None:
    async def reason_of(buffer: Buffer, hints: SlotHints = HINTS) -> str:
        with pytest.raises((BufferTimeout, BufferFull)) as raised:
            async with buffer.slot(hints):
                pytest.fail("there is no slot")
        return str(raised.value)

    buffer = make_buffer()
    assert "no agent is connected" in await reason_of(buffer)
    agent = buffer.pool.join()
    assert "no agent has a model ready" in await reason_of(buffer)
    serves = frozenset({RequestKind.GENERATION})
    buffer.pool.update(agent, n_slots=1, serves=serves, state_version=2)
    assert "began the answer" in await reason_of(buffer, SlotHints(state_version=1))
    async with buffer.slot(HINTS):
        assert await reason_of(buffer) == "no slot became free within 10000 ms"
    unbuffered = make_buffer(max_waiting=0)
    assert await reason_of(unbuffered) == "no agent is connected and buffering is off"


async def test_one_more_than_may_wait_is_refused(autojump_clock: MockClock) -> None:
    buffer = make_buffer(max_waiting=2)

    async def wait() -> None:
        with pytest.raises(BufferTimeout):
            async with buffer.slot(HINTS):
                pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        with pytest.raises(BufferFull, match="2 requests"):
            async with buffer.slot(HINTS):
                pass


async def test_without_buffering_only_free_slots_are_granted() -> None:
    buffer = make_buffer(max_waiting=0)
    add_agent(buffer, 1)
    async with buffer.slot(HINTS):
        with pytest.raises(BufferFull, match="buffering is off"):
            async with buffer.slot(HINTS):
                pass
    async with buffer.slot(HINTS):
        pass


async def test_request_that_lost_its_agent_waits_also_without_buffering() -> None:
    buffer = make_buffer(max_waiting=0)
    agent = add_agent(buffer, 1)
    async with buffer.slot(HINTS) as lease:
        arrival = lease.arrival
        buffer.pool.leave(agent)
    async with trio.open_nursery() as nursery:

        async def come_back() -> None:
            async with buffer.slot(HINTS, arrival=arrival):
                pass

        nursery.start_soon(come_back)
        await wait_all_tasks_blocked()
        assert buffer.waiting.value == 1
        add_agent(buffer, 1)


async def test_agent_that_joins_serves_waiters_at_once(autojump_clock: MockClock) -> None:
    buffer = make_buffer()
    began_at = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def request() -> None:
            async with buffer.slot(HINTS):
                assert trio.current_time() == began_at + 3

        nursery.start_soon(request)
        nursery.start_soon(request)
        await trio.sleep(3)
        add_agent(buffer, 2)


async def test_cancelled_waiter_frees_its_place() -> None:
    buffer = make_buffer(max_waiting=1)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def request() -> None:
                async with buffer.slot(HINTS):
                    pass

            nursery.start_soon(request)
            await wait_all_tasks_blocked()
            assert buffer.waiting.value == 1
            scope.cancel()
    assert buffer.waiting.value == 0
    assert buffer.pool.n_newcomers_waiting == 0


async def test_lease_granted_to_a_cancelled_waiter_goes_to_the_next_one() -> None:
    buffer = make_buffer()
    agent = add_agent(buffer, 1)
    served: list[str] = []

    async def request(name: str, scope: trio.CancelScope) -> None:
        with scope:
            async with buffer.slot(HINTS):
                served.append(name)

    async with trio.open_nursery() as nursery:
        async with buffer.slot(HINTS):
            doomed = trio.CancelScope()
            nursery.start_soon(request, "doomed", doomed)
            await wait_all_tasks_blocked()
            nursery.start_soon(request, "next", trio.CancelScope())
            await wait_all_tasks_blocked()
            # Cancelled first, granted before its task has run again.
            doomed.cancel()
        await wait_all_tasks_blocked()
    assert served == ["next"]
    assert agent.n_leased == 0


async def test_lease_that_arrives_with_the_timeout_is_used_or_passed_on(
    autojump_clock: MockClock,
) -> None:
    buffer = make_buffer(timeout_s=1.0)
    agent = add_agent(buffer, 1)

    async def hold() -> None:
        async with buffer.slot(HINTS):
            await trio.sleep(1.0)

    async def wait() -> None:
        try:
            async with buffer.slot(HINTS):
                pass
        except BufferTimeout:
            pass

    for _ in range(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            nursery.start_soon(wait)
    assert agent.n_leased == 0
    assert buffer.waiting.value == 0


async def test_closing_ends_waits_and_refuses_newcomers() -> None:
    buffer = make_buffer()
    async with trio.open_nursery() as nursery:

        async def request() -> None:
            with pytest.raises(ShuttingDown):
                async with buffer.slot(HINTS):
                    pass

        nursery.start_soon(request)
        await wait_all_tasks_blocked()
        buffer.close()
    with pytest.raises(ShuttingDown):
        async with buffer.slot(HINTS):
            pass


async def test_slot_is_free_again_when_the_block_raises() -> None:
    buffer = make_buffer()
    agent = add_agent(buffer, 1)
    with pytest.raises(ZeroDivisionError):
        async with buffer.slot(HINTS):
            raise ZeroDivisionError
    assert agent.n_leased == 0
