"""A request's way over agents, whatever it asks for: the one place where it is leased a slot.

A request waits for a slot, is given to the agent behind it, and is taken over
by another agent when that one does not finish it: because it is lost, stops,
or swaps its model. The limit on silence is applied here and only here.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator

import trio

from paddler.balancer.dispatch.buffer import Buffer
from paddler.balancer.dispatch.errors import (
    BufferFull,
    BufferTimeout,
    DispatchError,
    ShuttingDown,
)
from paddler.balancer.dispatch.leases import Lease
from paddler.balancer.dispatch.requests import SlotHints
from paddler.balancer.fleet.agent_link import AgentLink
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.requests.items import GenerationError
from paddler.balancer.requests.observations import (
    BufferOutcome,
    Observe,
    RequestEnded,
    RequestOutcome,
    TakenOver,
    WaitEnded,
)
from paddler.balancer.requests.progress import Phase, Progress

logger = logging.getLogger(__name__)

MAX_HANDED_BACK = 4
"""How often in a row a request may come back from agents that got nowhere with it.

A request that kills whatever agent works on it must not kill the fleet."""

_WAIT_OUTCOMES: dict[type[DispatchError], BufferOutcome] = {
    BufferFull: BufferOutcome.FULL,
    BufferTimeout: BufferOutcome.TIMEOUT,
    ShuttingDown: BufferOutcome.SHUTTING_DOWN,
}


class Takeover:
    """Runs requests over agents, each until it ends.

    Args:
        fleet: The agents' links.
        buffer: Where slots come from.
        item_timeout_s: Longest time in which an agent shows no sign of work on
            a request.
        observe: Told of waits, handovers and ends.
    """

    def __init__(
        self, *, fleet: Fleet, buffer: Buffer, item_timeout_s: float, observe: Observe
    ) -> None:
        self._fleet = fleet
        self._buffer = buffer
        self._item_timeout_s = item_timeout_s
        self._observe = observe
        self._running: set[Progress] = set()

    def shut_down(self) -> None:
        """Lease nothing any more, and end what has begun with an error that says so."""
        self._buffer.close()
        for progress in [each for each in self._running if each.agent is not None]:
            progress.fail(*_ending_without_slot(ShuttingDown(), progress))

    async def run(self, progress: Progress, *, arrival: int | None = None) -> None:
        """Have agents work on `progress` until it ends.

        Holds its lease; cancelling it cancels the request at its agent and
        frees the slot at once. With `arrival`, from `SlotPool.next_arrival`,
        it is not refused for a full buffer.

        Raises:
            DispatchError: No slot, and it never had one.
        """
        arrived_at = trio.current_time()
        self._running.add(progress)
        try:
            await self._run(progress, arrival)
        finally:
            self._running.discard(progress)
            if progress.agent is not None:
                self._observe(
                    RequestEnded(
                        progress.kind,
                        progress.agent.name,
                        progress.outcome or RequestOutcome.CANCELLED,
                        trio.current_time() - arrived_at,
                        progress.usage,
                    )
                )

    async def _run(self, progress: Progress, arrival: int | None) -> None:
        n_handed_back = 0
        while progress.phase is not Phase.ENDED:
            try:
                async with self._lease(progress.hints, arrival) as lease:
                    arrival = lease.arrival
                    link = self._fleet.link(lease.link_id)
                    if link is None:  # it was lost between the grant and now
                        continue
                    await self._run_at(link, lease, progress)
            except DispatchError as error:
                if progress.agent is None:
                    raise
                progress.fail(*_ending_without_slot(error, progress))
                return
            if progress.phase is Phase.WAITING:
                n_handed_back = 0 if progress.has_advanced else n_handed_back + 1
                self._note_handover(link, progress)
                if n_handed_back > MAX_HANDED_BACK:
                    progress.fail(*_ending_after_handbacks(n_handed_back, progress))

    async def _run_at(self, link: AgentLink, lease: Lease, progress: Progress) -> None:
        logger.debug("request_leased request=%s agent=%s", progress.request_id, link.record.id)
        progress.begin(lease, link.record)
        request_id = link.start(progress.order, progress)
        try:
            await self._until_ended_or_silent(progress)
        finally:
            link.forget(request_id)

    async def _until_ended_or_silent(self, progress: Progress) -> None:
        limit_s = self._item_timeout_s
        while progress.phase is Phase.RUNNING:
            with trio.move_on_at(progress.last_sign_at + limit_s):
                await progress.wait()
            is_silent = trio.current_time() >= progress.last_sign_at + limit_s
            if is_silent and progress.phase is Phase.RUNNING:
                silence = f"the agent sent nothing for {round(limit_s * 1000)} ms"
                progress.fail(RequestOutcome.ITEM_TIMEOUT, GenerationError(504, silence))

    @contextlib.asynccontextmanager
    async def _lease(self, hints: SlotHints, arrival: int | None) -> AsyncGenerator[Lease, None]:
        """`Buffer.slot`, with the wait for it observed; raises the same."""
        began_at = trio.current_time()
        outcome = BufferOutcome.CANCELLED

        def wait_ended() -> None:
            self._observe(WaitEnded(hints.kind, trio.current_time() - began_at, outcome))

        try:
            async with self._buffer.slot(hints, arrival=arrival) as lease:
                outcome = BufferOutcome.GRANTED
                wait_ended()
                yield lease
        except DispatchError as error:
            outcome = _WAIT_OUTCOMES[type(error)]
            raise
        finally:
            if outcome is not BufferOutcome.GRANTED:
                wait_ended()

    def _note_handover(self, link: AgentLink, progress: Progress) -> None:
        self._observe(TakenOver(link.record.name))
        logger.info(
            "request_handed_over request=%s agent=%s reason=%r",
            progress.request_id,
            link.record.id,
            progress.handover_reason,
        )


def _ending_without_slot(
    error: DispatchError, progress: Progress
) -> tuple[RequestOutcome, GenerationError]:
    """The end of a request that had a slot, and got no other."""
    if isinstance(error, ShuttingDown):
        return RequestOutcome.SHUTTING_DOWN, GenerationError(503, str(error))
    lost = f"the agent was lost ({progress.handover_reason}) and no other took over: {error}"
    return RequestOutcome.AGENT_LOST, GenerationError(502, lost)


def _ending_after_handbacks(
    n_agents: int, progress: Progress
) -> tuple[RequestOutcome, GenerationError]:
    """The end of a request that agent after agent hands back."""
    lost = (
        f"{n_agents} agents in a row handed the request back untouched; "
        f"the last one: {progress.handover_reason}"
    )
    return RequestOutcome.AGENT_LOST, GenerationError(502, lost)
