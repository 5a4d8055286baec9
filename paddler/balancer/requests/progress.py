"""One running generation: what has arrived, what is still missing, how fast.

Fed by the link's reader, which must not wait: everything here is plain code
that appends to the outbox and keeps count. `generation` owns the tasks.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

import trio

from paddler.balancer.requests.items import GenerationError, GenerationItem, GenerationStart
from paddler.balancer.requests.observations import Observer, RequestOutcome
from paddler.concurrency.mailbox import Mailbox, MailboxFull
from paddler.messages.generation import (
    TERMINAL_EVENTS,
    GenerationDone,
    GenerationEvent,
    GenerationRefused,
    GenerationStarted,
    TokenEvent,
    Usage,
)
from paddler.messages.link import EmbeddingEvents, LoadReport, Resume

GAPS_PER_REPORT = 64
"""How many gaps between tokens are told to the observer at a time."""


class Pause(enum.Enum):
    """What became of one agent's part in a generation."""

    RUNNING = "running"
    GIVEN_BACK = "given_back"
    ENDED = "ended"


class AgentWork(Protocol):
    """One agent's work on a generation, told what it comes to."""

    def began(self, event: GenerationStarted) -> None:
        """The agent counted the prompt and began to prefill it."""

    def prefilled(self) -> None:
        """The agent's first token arrived."""


class GenerationProgress:
    """The part of a generation that outlives its agents; a `RequestSink`.

    Args:
        outbox: Where items go; closed after the one that ends the generation.
        observer: Told of first token and gaps.
        arrived_at: When the request came, on Trio's clock.
    """

    def __init__(
        self, outbox: Mailbox[GenerationItem], observer: Observer, arrived_at: float
    ) -> None:
        self._outbox = outbox
        self._observer = observer
        self.arrived_at = arrived_at
        self._token_ids: list[int] = []
        self._n_sent_bytes = 0
        self._told_start = False
        self._last_token_at: float | None = None
        self._gaps_s: list[float] = []
        self._pause = Pause.RUNNING
        self._changed = trio.Event()
        self._work: AgentWork | None = None
        self._prefilling_slot: int | None = None
        self._prefilled_tokens = 0
        self.start: GenerationStart | None = None
        self.outcome: RequestOutcome | None = None
        self.usage: Usage | None = None
        self.last_item_at = arrived_at
        self.give_back_reason = ""
        self.made_progress = False

    @property
    def pause(self) -> Pause:
        """Whether the agent still works on it."""
        return self._pause

    @property
    def has_tokens(self) -> bool:
        """Something was generated, so that only the same state may go on."""
        return bool(self._token_ids)

    def resume(self) -> Resume | None:
        """Where another agent has to go on, if anything was generated."""
        if not self._token_ids:
            return None
        return Resume(token_ids=list(self._token_ids), n_sent_bytes=self._n_sent_bytes)

    def begin(self, work: AgentWork) -> None:
        """An agent starts to work on it."""
        self._work = work
        self._prefilling_slot = None
        self._pause = Pause.RUNNING
        self._changed = trio.Event()
        self.last_item_at = trio.current_time()
        self.made_progress = False

    async def wait(self) -> None:
        """Wait until the agent does not work on it any more."""
        await self._changed.wait()

    def fail(self, outcome: RequestOutcome, error: GenerationError) -> None:
        """End it with an error."""
        self._end(outcome, error)

    def on_events(self, events: Sequence[GenerationEvent]) -> None:
        """Take what the agent sent."""
        if self._pause is not Pause.RUNNING:
            return
        now = trio.current_time()
        self.last_item_at = now
        try:
            for event in events:
                if type(event) is TokenEvent:
                    self._token_ids.extend(event.token_ids)
                    self._n_sent_bytes += _utf8_length(event.text)
                    self._outbox.post(event)
                    self._measure(now)
                elif isinstance(event, TERMINAL_EVENTS):
                    self._take_ending(event)
                    return
                elif isinstance(event, GenerationStarted):
                    self._take_beginning(event)
                else:
                    self._outbox.post(event)
        except MailboxFull as full:
            slow = GenerationError(503, f"the response is not read fast enough: {full}")
            self._end(RequestOutcome.CLIENT_TOO_SLOW, slow)

    def on_embeddings(self, frame: EmbeddingEvents) -> None:
        """Not asked for, and ignored."""

    def on_load(self, report: LoadReport) -> None:
        """A prompt that is being prefilled is a sign of life: a long one takes its time."""
        slot = self._prefilling_slot
        if slot is None or not 0 <= slot < len(report.slots):
            return
        cached_tokens = report.slots[slot].cached_tokens
        if report.slots[slot].state == "prefill" and cached_tokens > self._prefilled_tokens:
            self._prefilled_tokens = cached_tokens
            self.last_item_at = trio.current_time()

    def on_given_back(self, reason: str) -> None:
        """The agent will not finish it."""
        if self._pause is Pause.RUNNING:
            self._pause = Pause.GIVEN_BACK
            self.give_back_reason = reason
            self._changed.set()

    def close(self) -> None:
        """Nothing follows; what was measured is told."""
        self._report_gaps()
        self._outbox.close()

    def _take_beginning(self, event: GenerationStarted) -> None:
        self._prefilling_slot = event.slot
        self._prefilled_tokens = event.cached_prompt_tokens
        if self._work is not None:
            self._work.began(event)
        if not self._told_start:
            self._told_start = True
            self._outbox.post(event)

    def _take_ending(self, event: GenerationItem) -> None:
        if isinstance(event, GenerationDone):
            self.usage = event.usage
            self._end(RequestOutcome.DONE, event)
        elif isinstance(event, GenerationRefused):
            self._end(
                RequestOutcome.REFUSED, GenerationError(event.code, event.message, event.reason)
            )
        else:
            self._end(RequestOutcome.FAILED, event)

    def _end(self, outcome: RequestOutcome, item: GenerationItem) -> None:
        if self._pause is Pause.ENDED:
            return
        self._pause = Pause.ENDED
        self.outcome = outcome
        self._outbox.close_with(item)
        self._changed.set()

    def _measure(self, now: float) -> None:
        if not self.made_progress:
            self.made_progress = True
            self._prefilling_slot = None
            if self._work is not None:
                self._work.prefilled()
        last, self._last_token_at = self._last_token_at, now
        if last is None:
            ttft_s = now - self.arrived_at
            if self.start is not None:
                self.start.ttft_ms = ttft_s * 1000.0
            self._observer.first_token(ttft_s)
            return
        self._gaps_s.append(now - last)
        if len(self._gaps_s) >= GAPS_PER_REPORT:
            self._report_gaps()

    def _report_gaps(self) -> None:
        gaps_s, self._gaps_s = self._gaps_s, []
        if gaps_s:
            self._observer.token_gaps(gaps_s)


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
