"""One running generation: what has arrived, what is still missing, how fast."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import ClassVar

import trio
from typing_extensions import override

from paddler.balancer.dispatch.leases import Lease
from paddler.balancer.dispatch.pool import SlotPool
from paddler.balancer.dispatch.prefix_chain import chain_of, pin_of
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.fleet.agent_link import RequestNews
from paddler.balancer.fleet.agents import AgentRecord
from paddler.balancer.fleet.errors import BadFrame
from paddler.balancer.requests.items import GenerationError, GenerationItem, GenerationStart
from paddler.balancer.requests.observations import (
    FirstToken,
    Observe,
    RequestOutcome,
    TokenGaps,
)
from paddler.balancer.requests.progress import Phase, Progress
from paddler.concurrency.mailbox import Mailbox, MailboxFull
from paddler.messages.generation import (
    TERMINAL_EVENTS,
    GenerationDone,
    GenerationOrder,
    GenerationRefused,
    GenerationStarted,
    TokenEvent,
)
from paddler.messages.link import Generate, LoadReport, Resume

logger = logging.getLogger(__name__)

GAPS_PER_REPORT = 64
"""How many gaps between tokens are observed at a time."""


class GenerationProgress(Progress):
    """A generation, over all its agents.

    Args:
        order: What is to be generated.
        outbox: Where items go; closed after the one that ends the generation.
        request_id: For the log.
        pool: Told what becomes of the leases.
        observe: Told of first token and gaps.
        on_start: Called once, with the first slot.
    """

    kind: ClassVar[RequestKind] = RequestKind.GENERATION

    def __init__(
        self,
        order: GenerationOrder,
        outbox: Mailbox[GenerationItem],
        request_id: str,
        *,
        pool: SlotPool,
        observe: Observe,
        on_start: Callable[[GenerationStart], None],
    ) -> None:
        super().__init__(request_id)
        self._arrived_at = trio.current_time()
        self._order = order
        self._outbox = outbox
        self._pool = pool
        self._observe = observe
        self._on_start = on_start
        self._chain = chain_of(order)
        self._hints = SlotHints(
            kind=self.kind,
            chain=self._chain,
            pin=pin_of(order.conversation_id) if order.conversation_id else None,
        )
        self._token_ids: list[int] = []
        self._n_sent_bytes = 0
        self._start: GenerationStart | None = None
        self._told_beginning = False
        self._last_token_at: float | None = None
        self._gaps_s: list[float] = []
        self._lease: Lease | None = None
        self._prefilling_slot: int | None = None
        self._prefilled_tokens = 0

    @property
    @override
    def hints(self) -> SlotHints:
        """Its prompt; once something was generated, only the same state may go on."""
        if self._lease is None or not self._token_ids:
            return self._hints
        return dataclasses.replace(self._hints, state_version=self._lease.state_version)

    @override
    def begin(self, lease: Lease, agent: AgentRecord) -> None:
        super().begin(lease, agent)
        self._lease = lease
        self._prefilling_slot = None
        if self._start is not None:
            self._start.agent_id = agent.id
            self._start.agent_name = agent.name
            return
        buffered_s = trio.current_time() - self._arrived_at
        self._start = GenerationStart(
            agent_id=agent.id, agent_name=agent.name, buffered_ms=buffered_s * 1000.0
        )
        self._on_start(self._start)

    @override
    def order(self, request_id: int) -> Generate:
        resume = None
        if self._token_ids:
            resume = Resume(token_ids=list(self._token_ids), n_sent_bytes=self._n_sent_bytes)
        return Generate(
            request_id=request_id,
            order=self._order,
            prefix_chain=list(self._chain.hashes),
            resume=resume,
        )

    @override
    def take(self, news: RequestNews) -> bool:
        if not isinstance(news, list):
            raise BadFrame("embeddings answer a generation")
        if self._phase is not Phase.RUNNING:
            return any(isinstance(event, TERMINAL_EVENTS) for event in news)
        now = trio.current_time()
        self.last_sign_at = now
        try:
            for event in news:
                if type(event) is TokenEvent:
                    self._token_ids.extend(event.token_ids)
                    self._n_sent_bytes += _utf8_length(event.text)
                    self._outbox.post(event)
                    self._measure(now)
                elif isinstance(event, TERMINAL_EVENTS):
                    self._take_ending(event)
                    return True
                elif isinstance(event, GenerationStarted):
                    self._take_beginning(event)
                else:
                    self._outbox.post(event)
        except MailboxFull as full:
            self._fail_for_slow_reader(full)
        return False

    @override
    def on_load(self, report: LoadReport) -> None:
        """A prompt that is being prefilled is a sign of life: a long one takes its time."""
        slot = self._prefilling_slot
        if slot is None or not 0 <= slot < len(report.slots):
            return
        cached_tokens = report.slots[slot].cached_tokens
        if report.slots[slot].state == "prefill" and cached_tokens > self._prefilled_tokens:
            self._prefilled_tokens = cached_tokens
            self.last_sign_at = trio.current_time()

    def close(self) -> None:
        """Close the outbox; what was measured is told."""
        self._report_gaps()
        self._outbox.close()

    def _take_beginning(self, event: GenerationStarted) -> None:
        self._prefilling_slot = event.slot
        self._prefilled_tokens = event.cached_prompt_tokens
        if self._lease is not None and self.agent is not None:
            self._log_beginning(event, self._lease, self.agent)
            self._pool.began(self._lease, event.prompt_tokens, event.cached_prompt_tokens)
        if not self._told_beginning:
            self._told_beginning = True
            self._outbox.post(event)

    def _log_beginning(self, event: GenerationStarted, lease: Lease, agent: AgentRecord) -> None:
        logger.debug(
            "request_began request=%s agent=%s why=%s slot=%d prompt_tokens=%d cached_tokens=%d "
            "cached_in=%s expected_cached_tokens=%.0f queued_tokens=%.0f expected_ttft_ms=%.0f",
            self.request_id,
            agent.id,
            lease.why,
            event.slot,
            event.prompt_tokens,
            event.cached_prompt_tokens,
            event.cached_in,
            lease.cached_tokens,
            lease.queued_tokens,
            lease.ttft_s * 1000.0,
        )

    def _take_ending(self, event: GenerationItem) -> None:
        if isinstance(event, GenerationRefused):
            refused = GenerationError(event.code, event.message, event.reason)
            self.fail(RequestOutcome.REFUSED, refused)
            return
        if isinstance(event, GenerationDone):
            self.usage = event.usage
            self._end(RequestOutcome.DONE)
        else:
            self._end(RequestOutcome.FAILED)
        self._outbox.close_with(event)

    @override
    def _tell(self, error: GenerationError) -> None:
        self._outbox.close_with(error)

    def _measure(self, now: float) -> None:
        if not self.has_advanced:
            self.has_advanced = True
            self._prefilling_slot = None
            if self._lease is not None:
                self._pool.prefilled(self._lease)
        last, self._last_token_at = self._last_token_at, now
        if last is None:
            ttft_s = now - self._arrived_at
            if self._start is not None:
                self._start.ttft_ms = ttft_s * 1000.0
            self._observe(FirstToken(ttft_s))
            return
        self._gaps_s.append(now - last)
        if len(self._gaps_s) >= GAPS_PER_REPORT:
            self._report_gaps()

    def _report_gaps(self) -> None:
        gaps_s, self._gaps_s = self._gaps_s, []
        if gaps_s:
            self._observe(TokenGaps(gaps_s))


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
