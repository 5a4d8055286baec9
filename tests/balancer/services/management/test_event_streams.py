"""Server-sent events, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
import trio.testing

from paddler.balancer.services.management.event_streams import event_stream
from paddler.concurrency.latest import Latest


class Value:
    """Something that changes."""

    def __init__(self) -> None:
        self.changes = Latest(0)
        self.text = b"0"

    def become(self, text: bytes) -> None:
        self.text = text
        self.changes.set(self.changes.value + 1)


@asynccontextmanager
async def streaming(
    value: Value, stopping: trio.Event | None = None
) -> AsyncGenerator[list[bytes], None]:
    sent: list[bytes] = []

    async def send(chunk: bytes) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(chunk)

    answer = event_stream(value.changes, lambda: value.text, stopping or trio.Event())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer.write, send)
        await trio.testing.wait_all_tasks_blocked()
        yield sent
        nursery.cancel_scope.cancel()


async def test_the_present_value_comes_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with streaming(Value()) as sent:
        assert sent == [b"data: 0\n\n"]


async def test_silence_is_filled_with_a_comment_every_ten_seconds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with streaming(Value()) as sent:
        await trio.sleep(35)
        assert sent[1:] == [b": keep-alive\n\n"] * 3


async def test_changes_between_two_events_become_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    value = Value()
    async with streaming(value) as sent:
        value.become(b"1")
        await trio.testing.wait_all_tasks_blocked()
        value.become(b"2")
        value.become(b"3")
        await trio.sleep(1)
        assert sent == [b"data: 0\n\n", b"data: 1\n\n", b"data: 3\n\n"]


async def test_a_change_that_changes_nothing_is_not_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    value = Value()
    async with streaming(value) as sent:
        value.become(b"0")
        await trio.sleep(1)
        assert sent == [b"data: 0\n\n"]


async def test_a_change_that_changes_nothing_does_not_put_off_the_comment(
    autojump_clock: trio.testing.MockClock,
) -> None:
    value = Value()
    async with streaming(value) as sent:
        for _ in range(25):
            await trio.sleep(1)
            value.become(b"0")
        assert sent.count(b": keep-alive\n\n") == 2


async def test_the_stream_ends_when_the_service_stops(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stopping = trio.Event()
    ended = trio.Event()

    async def send(chunk: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def stream() -> None:
        await event_stream(Latest(0), lambda: b"0", stopping).write(send)
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream)
        await trio.sleep(1)
        stopping.set()
        with trio.fail_after(1):
            await ended.wait()
