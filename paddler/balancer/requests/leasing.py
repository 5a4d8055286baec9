"""A slot lease, with its wait told to the observer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import trio

from paddler.balancer.dispatch.buffer import Buffer, SlotLease
from paddler.balancer.dispatch.errors import (
    BufferFull,
    BufferTimeout,
    DispatchError,
    ShuttingDown,
)
from paddler.balancer.dispatch.requests import SlotHints
from paddler.balancer.requests.observations import BufferOutcome, Observer

_OUTCOMES: dict[type[DispatchError], BufferOutcome] = {
    BufferFull: BufferOutcome.FULL,
    BufferTimeout: BufferOutcome.TIMEOUT,
    ShuttingDown: BufferOutcome.SHUTTING_DOWN,
}


@contextlib.asynccontextmanager
async def observed_slot(
    buffer: Buffer, observer: Observer, hints: SlotHints, *, arrival: int | None
) -> AsyncGenerator[SlotLease, None]:
    """`buffer.slot`, observed; raises the same."""
    began_at = trio.current_time()
    outcome = BufferOutcome.CANCELLED
    is_granted = False
    try:
        async with buffer.slot(hints, arrival=arrival) as lease:
            is_granted = True
            waited_s = trio.current_time() - began_at
            observer.request_buffered(hints.kind, waited_s, BufferOutcome.GRANTED)
            yield lease
    except DispatchError as error:
        outcome = _OUTCOMES[type(error)]
        raise
    finally:
        if not is_granted:
            observer.request_buffered(hints.kind, trio.current_time() - began_at, outcome)
