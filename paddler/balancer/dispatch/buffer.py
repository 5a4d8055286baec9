"""The buffer: requests wait here for a slot, first in, first out.

Owns the bound on how many wait and the limit on how long. The order and the
grants themselves are `pool`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import trio

from paddler.balancer.dispatch.errors import BufferFull, BufferTimeout, ShuttingDown
from paddler.balancer.dispatch.pool import Lease, Router, SlotPool
from paddler.balancer.dispatch.requests import SlotHints
from paddler.concurrency.latest import Latest

SlotLease = Lease


class Buffer:
    """Hands out slot leases.

    Args:
        router: Chooses where several agents have a free slot.
        max_waiting: Most requests that wait; 0: none, a slot is free or not.
            Requests that held a slot already do not count, and wait also with
            0: there are never more of them than there were slots.
        timeout_s: Longest wait, in seconds.
        max_overtakes: How often a waiter may be passed over when the freed
            slot's agent is not the one that has its prompt cached; 0: never.
    """

    def __init__(
        self, *, router: Router, max_waiting: int, timeout_s: float, max_overtakes: int = 0
    ) -> None:
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self.pool = SlotPool(router, self._pool_changed, max_overtakes=max_overtakes)
        self.waiting: Latest[int] = Latest(0)
        """How many requests wait."""
        self.changes: Latest[int] = Latest(0)
        """Grows with every change of leases, slots or waiters."""

    @property
    def max_waiting(self) -> int:
        """Most requests that wait."""
        return self._max_waiting

    @property
    def timeout_s(self) -> float:
        """The longest wait, in seconds."""
        return self._timeout_s

    @contextlib.asynccontextmanager
    async def slot(
        self, hints: SlotHints, *, arrival: int | None = None
    ) -> AsyncGenerator[SlotLease, None]:
        """Hold a lease on one slot for the length of the block.

        The slot is free again, and possibly the next waiter's, however the
        block ends. `arrival` is that of the lease which a request held before
        (`Lease.arrival`): it then waits ahead of all that arrived later, and
        is never refused for a full buffer.

        Raises:
            BufferFull: No slot is free and as many wait as may.
            BufferTimeout: No slot became free in time.
            ShuttingDown: `close` was called.
        """
        lease = await self._acquire(hints, arrival)
        try:
            yield lease
        finally:
            self.pool.release(lease)

    def close(self) -> None:
        """Grant nothing any more; those who wait get `ShuttingDown`."""
        self.pool.close()

    async def _acquire(self, hints: SlotHints, arrival: int | None) -> SlotLease:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.pool.closed:
            raise ShuttingDown
        is_newcomer = arrival is None
        place = self.pool.next_arrival() if arrival is None else arrival
        lease = self.pool.try_lease(hints, place)
        if lease is not None:
            return lease
        if is_newcomer and self.pool.n_newcomers_waiting >= self._max_waiting:
            raise BufferFull(self._max_waiting, self.pool.why_none_serves(hints))
        return await self._wait(hints, place, is_newcomer=is_newcomer)

    async def _wait(self, hints: SlotHints, arrival: int, *, is_newcomer: bool) -> SlotLease:
        settled = trio.Event()
        waiter = self.pool.wait(hints, arrival, settled.set, is_newcomer=is_newcomer)
        lease = None
        try:
            with trio.move_on_after(self._timeout_s):
                await settled.wait()
            lease = waiter.lease
        finally:
            if lease is None:
                self.pool.withdraw(waiter)
        if lease is not None:
            return lease
        if waiter.error is not None:
            raise waiter.error
        raise BufferTimeout(self._timeout_s, self.pool.why_none_serves(hints))

    def _pool_changed(self) -> None:
        n_waiting = self.pool.n_waiting
        if n_waiting != self.waiting.value:
            self.waiting.set(n_waiting)
        self.changes.set(self.changes.value + 1)
