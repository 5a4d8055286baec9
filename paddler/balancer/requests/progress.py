"""A request on its way over agents: what outlives each of them.

Fed by links' readers, which must not wait: everything here is plain code that
keeps count and posts into outboxes. `takeover` owns the tasks.
"""

from __future__ import annotations

import abc
import enum
from typing import ClassVar

import trio

from paddler.balancer.dispatch.leases import Lease
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.fleet.agent_link import RequestNews
from paddler.balancer.fleet.agents import AgentRecord
from paddler.balancer.requests.items import GenerationError
from paddler.balancer.requests.observations import RequestOutcome
from paddler.concurrency.mailbox import MailboxFull
from paddler.messages.generation import Usage
from paddler.messages.link import Embed, Generate, LoadReport


class Phase(enum.Enum):
    """Where a request stands."""

    WAITING = "waiting"
    """For a slot: its first one, or another one after it was handed over."""
    RUNNING = "running"
    ENDED = "ended"


class Progress(abc.ABC):
    """What `Takeover` knows of a request; a `RequestSink`.

    Attributes:
        kind: What an agent must be able to do.
        request_id: For the log.
        agent: Who works on it, or did last; None until it has had a slot.
        last_sign_at: When that agent last showed that it works on it.
        has_advanced: That agent sent a part of the answer.
        handover_reason: Why that agent does not finish it, if so.
        outcome: How it ended; None until then.
        usage: What its agent counted, if it did.
    """

    kind: ClassVar[RequestKind]

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.agent: AgentRecord | None = None
        self.last_sign_at = trio.current_time()
        self.has_advanced = False
        self.handover_reason = ""
        self.outcome: RequestOutcome | None = None
        self.usage: Usage | None = None
        self._phase = Phase.WAITING
        self._changed = trio.Event()

    @property
    def phase(self) -> Phase:
        """Where it stands now."""
        return self._phase

    @property
    @abc.abstractmethod
    def hints(self) -> SlotHints:
        """What the choice of its next slot depends on."""

    @abc.abstractmethod
    def order(self, request_id: int) -> Generate | Embed:
        """The frame that has an agent do what is left to do, called `request_id` there."""

    @abc.abstractmethod
    def take(self, news: RequestNews) -> bool:
        """Take what the agent sent; see `RequestSink`."""

    @abc.abstractmethod
    def _tell(self, error: GenerationError) -> None:
        """Let whoever asked know that the request failed."""

    def begin(self, lease: Lease, agent: AgentRecord) -> None:
        """An agent starts to work on it, in the slot that is leased."""
        self.agent = agent
        self.last_sign_at = trio.current_time()
        self.has_advanced = False
        self._phase = Phase.RUNNING
        self._changed = trio.Event()

    async def wait(self) -> None:
        """Wait until the agent does not work on it any more."""
        await self._changed.wait()

    def on_load(self, report: LoadReport) -> None:
        """Take note of the agent's slots, where they tell anything of the request."""

    def hand_over(self, reason: str) -> None:
        """Let another agent go on: this one will not finish it."""
        if self._phase is Phase.RUNNING:
            self.handover_reason = reason
            self._phase = Phase.WAITING
            self._changed.set()

    def fail(self, outcome: RequestOutcome, error: GenerationError) -> None:
        """End it with an error, unless it has ended."""
        if self._phase is not Phase.ENDED:
            self._end(outcome)
            self._tell(error)

    def _fail_for_slow_reader(self, full: MailboxFull) -> None:
        slow = GenerationError(503, f"the response is not read fast enough: {full}")
        self.fail(RequestOutcome.CLIENT_TOO_SLOW, slow)

    def _end(self, outcome: RequestOutcome) -> None:
        self.outcome = outcome
        self._phase = Phase.ENDED
        self._changed.set()
