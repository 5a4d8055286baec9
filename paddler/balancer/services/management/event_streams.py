"""Server-sent events: the present value, then one event per change.

A client that reads slowly skips values; a comment keeps idle connections open.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from paddler.balancer.http_edge.streaming import EVENT_STREAM, SendChunk, StreamedAnswer
from paddler.concurrency.latest import Latest

KEEP_ALIVE_INTERVAL_S = 10.0
MIN_INTERVAL_S = 0.05
"""Shortest time between two events: snapshots of a busy fleet change all the time."""

_KEEP_ALIVE = b": keep-alive\n\n"


def event_stream(
    changes: Latest[int],
    snapshot: Callable[[], bytes],
    stopping: trio.Event,
    *,
    keep_alive_interval_s: float = KEEP_ALIVE_INTERVAL_S,
) -> StreamedAnswer:
    """Stream `snapshot()` as events until the client leaves or `stopping` is set.

    Args:
        changes: Moves on whenever the snapshot may have changed; equal
            snapshots are sent once.
        snapshot: Makes one line of JSON.
        stopping: Ends the stream.
        keep_alive_interval_s: Longest silence.
    """

    async def write(send: SendChunk) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_events, send, changes, snapshot, keep_alive_interval_s)
            await stopping.wait()
            nursery.cancel_scope.cancel()

    return StreamedAnswer(write=write, content_type=EVENT_STREAM)


async def _send_events(
    send: SendChunk,
    changes: Latest[int],
    snapshot: Callable[[], bytes],
    keep_alive_interval_s: float,
) -> None:
    seen = changes.version
    last = snapshot()
    await send(b"data: " + last + b"\n\n")
    silent_until = trio.current_time() + keep_alive_interval_s
    while True:
        with trio.move_on_at(silent_until) as silence:
            seen = await changes.wait_past(seen)
        if silence.cancelled_caught:
            await send(_KEEP_ALIVE)
        else:
            present = snapshot()
            if present == last:
                continue
            last = present
            await send(b"data: " + last + b"\n\n")
            await trio.sleep(MIN_INTERVAL_S)
        silent_until = trio.current_time() + keep_alive_interval_s
