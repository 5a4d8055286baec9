"""A generation's life: buffer, agent, and another agent when that one is lost.

`Generations.run` is a task in the nursery of the connection that asked. It
holds the slot lease; cancelling it cancels the request at the agent and frees
the slot at once. The limit on silence between items is applied here and only
here; a prompt whose prefill advances, as the agent's load reports tell, is not
silent.
"""

from __future__ import annotations

import dataclasses
import logging

import trio

from paddler.balancer.dispatch.buffer import Buffer, SlotLease
from paddler.balancer.dispatch.errors import DispatchError, ShuttingDown
from paddler.balancer.dispatch.pool import SlotPool
from paddler.balancer.dispatch.prefix_chain import PrefixChain, chain_of, pin_of
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.fleet.agent_link import AgentLink
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.requests.errors import GenerationNotSupported
from paddler.balancer.requests.items import GenerationError, GenerationItem, GenerationStart
from paddler.balancer.requests.leasing import observed_slot
from paddler.balancer.requests.observations import Observer, RequestOutcome
from paddler.balancer.requests.progress import AgentWork, GenerationProgress, Pause
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.generation import GenerationOrder, GenerationStarted

logger = logging.getLogger(__name__)

MAX_FRUITLESS_TAKEOVERS = 4
"""How often in a row a request may lose its agent without a token in between.

A request that kills whatever agent works on it must not kill the fleet."""

_SHUTTING_DOWN = GenerationError(503, "the balancer is shutting down")


class Generations:
    """Runs generations.

    Args:
        fleet: The agents' links.
        buffer: Where slots come from.
        item_timeout_s: Longest silence of an agent between two items.
        observer: Told of every request.
    """

    def __init__(
        self, *, fleet: Fleet, buffer: Buffer, item_timeout_s: float, observer: Observer
    ) -> None:
        self._fleet = fleet
        self._buffer = buffer
        self._item_timeout_s = item_timeout_s
        self._observer = observer
        self._running: set[GenerationProgress] = set()

    def shut_down(self) -> None:
        """Refuse new generations and end the running ones with an error that says so."""
        self._buffer.close()
        for progress in [running for running in self._running if running.start is not None]:
            progress.fail(RequestOutcome.SHUTTING_DOWN, _SHUTTING_DOWN)

    async def run(
        self,
        order: GenerationOrder,
        outbox: Mailbox[GenerationItem],
        *,
        request_id: str = "-",
        task_status: trio.TaskStatus[GenerationStart] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run `order`, with its items going to `outbox`, which is closed at the end.

        `request_id` is for the log. Reports `started` once a slot is leased;
        from then on failures are items. Cancelling it cancels the request at
        its agent and frees the slot at once.

        Raises:
            GenerationNotSupported: The model serves embeddings only.
            BufferFull, BufferTimeout, ShuttingDown: No slot; before `started` only.
        """
        progress = GenerationProgress(outbox, self._observer, trio.current_time())
        self._running.add(progress)
        try:
            self._refuse_if_embeddings_only()
            await self._run_somewhere(order, progress, request_id, task_status)
        finally:
            self._running.discard(progress)
            progress.close()
            start = progress.start
            if start is not None:
                self._observer.request_ended(
                    RequestKind.GENERATION,
                    start.agent_name,
                    progress.outcome or RequestOutcome.CANCELLED,
                    trio.current_time() - progress.arrived_at,
                    progress.usage,
                )

    async def _run_somewhere(
        self,
        order: GenerationOrder,
        progress: GenerationProgress,
        request_id: str,
        task_status: trio.TaskStatus[GenerationStart],
    ) -> None:
        chain = chain_of(order)
        hints = SlotHints(
            kind=RequestKind.GENERATION,
            chain=chain,
            pin=pin_of(order.conversation_id) if order.conversation_id else None,
        )
        arrival: int | None = None
        n_fruitless = 0
        while progress.outcome is None:
            try:
                async with observed_slot(
                    self._buffer, self._observer, hints, arrival=arrival
                ) as lease:
                    arrival = lease.arrival
                    link = self._fleet.link(lease.link_id)
                    if link is None:
                        continue
                    _note_lease(progress, link, request_id, task_status)
                    work = _LeasedWork(self._buffer.pool, lease, link.record.id, request_id)
                    await self._run_here(order, progress, link, work, chain)
                    if progress.has_tokens:
                        hints = dataclasses.replace(hints, state_version=lease.state_version)
            except DispatchError as error:
                if progress.start is None:
                    self._refuse_if_embeddings_only()
                    raise
                progress.fail(*_ending_without_takeover(error, progress))
                return
            if progress.pause is Pause.GIVEN_BACK:
                n_fruitless = 0 if progress.made_progress else n_fruitless + 1
                self._note_loss(progress, request_id, n_fruitless)

    async def _run_here(
        self,
        order: GenerationOrder,
        progress: GenerationProgress,
        link: AgentLink,
        work: AgentWork,
        chain: PrefixChain,
    ) -> None:
        progress.begin(work)
        agent_request_id = link.generate(
            order, progress, prefix_chain=list(chain.hashes), resume=progress.resume()
        )
        try:
            await self._until_ended_or_silent(progress)
        finally:
            link.forget(agent_request_id)

    async def _until_ended_or_silent(self, progress: GenerationProgress) -> None:
        limit_s = self._item_timeout_s
        while progress.pause is Pause.RUNNING:
            with trio.move_on_at(progress.last_item_at + limit_s):
                await progress.wait()
            is_silent = trio.current_time() >= progress.last_item_at + limit_s
            if is_silent and progress.pause is Pause.RUNNING:
                silence = f"the agent sent nothing for {round(limit_s * 1000)} ms"
                progress.fail(RequestOutcome.ITEM_TIMEOUT, GenerationError(504, silence))

    def _refuse_if_embeddings_only(self) -> None:
        kinds = [record.serves for record in self._fleet.records]
        if kinds and all(served == {RequestKind.EMBEDDING} for served in kinds):
            raise GenerationNotSupported

    def _note_loss(self, progress: GenerationProgress, request_id: str, n_fruitless: int) -> None:
        start = progress.start
        if start is None:
            return
        start.n_takeovers += 1
        self._observer.taken_over(start.agent_name)
        logger.info(
            "request_given_back request=%s agent=%s reason=%r",
            request_id,
            start.agent_id,
            progress.give_back_reason,
        )
        if n_fruitless > MAX_FRUITLESS_TAKEOVERS:
            lost = (
                f"{n_fruitless} agents in a row gave the request back without a token; "
                f"the last one: {progress.give_back_reason}"
            )
            progress.fail(RequestOutcome.AGENT_LOST, GenerationError(502, lost))


class _LeasedWork:
    """Tells dispatch, and the log, what an agent's work comes to."""

    def __init__(self, pool: SlotPool, lease: SlotLease, agent_id: str, request_id: str) -> None:
        self._pool = pool
        self._lease = lease
        self._agent_id = agent_id
        self._request_id = request_id

    def began(self, event: GenerationStarted) -> None:
        lease = self._lease
        logger.debug(
            "request_began request=%s agent=%s why=%s slot=%d prompt_tokens=%d cached_tokens=%d "
            "cached_in=%s expected_cached_tokens=%.0f queued_tokens=%.0f expected_ttft_ms=%.0f",
            self._request_id,
            self._agent_id,
            lease.why,
            event.slot,
            event.prompt_tokens,
            event.cached_prompt_tokens,
            event.cached_in,
            lease.cached_tokens,
            lease.queued_tokens,
            lease.ttft_s * 1000.0,
        )
        self._pool.began(lease, event.prompt_tokens, event.cached_prompt_tokens)

    def prefilled(self) -> None:
        self._pool.prefilled(self._lease)


def _note_lease(
    progress: GenerationProgress,
    link: AgentLink,
    request_id: str,
    task_status: trio.TaskStatus[GenerationStart],
) -> None:
    record = link.record
    logger.debug("request_leased request=%s agent=%s", request_id, record.id)
    if progress.start is not None:
        progress.start.agent_id = record.id
        progress.start.agent_name = record.name
        return
    progress.start = GenerationStart(
        agent_id=record.id,
        agent_name=record.name,
        buffered_ms=(trio.current_time() - progress.arrived_at) * 1000.0,
    )
    task_status.started(progress.start)


def _ending_without_takeover(
    error: DispatchError, progress: GenerationProgress
) -> tuple[RequestOutcome, GenerationError]:
    if isinstance(error, ShuttingDown):
        return RequestOutcome.SHUTTING_DOWN, _SHUTTING_DOWN
    lost = f"the agent was lost ({progress.give_back_reason}) and no other took over: {error}"
    return RequestOutcome.AGENT_LOST, GenerationError(502, lost)
