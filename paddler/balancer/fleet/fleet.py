"""All connected agents.

Keeps each agent's record and its slots in the buffer in step: an agent's slots
may be leased only while it serves the state version it was told to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from paddler.balancer.dispatch.buffer import Buffer
from paddler.balancer.dispatch.requests import RequestKind, SlotHints
from paddler.balancer.fleet.agent_link import AgentLink, LinkLimits
from paddler.balancer.fleet.agents import AgentRecord
from paddler.balancer.fleet.errors import LinkRefused, LinkReplaced
from paddler.concurrency.latest import Latest
from paddler.messages.agents import AgentsSnapshot, Issue
from paddler.messages.link import Answer, ApplyState, Hello, Question

logger = logging.getLogger(__name__)


class Fleet:
    """Who is connected.

    Args:
        buffer: Gets each agent's slots.
        max_agents: Most agents connected at once; more are refused.
        balancer_version: What agents are told to be talking to.
    """

    def __init__(
        self, buffer: Buffer, *, max_agents: int = 1024, balancer_version: str = "unknown"
    ) -> None:
        self._buffer = buffer
        self._balancer_version = balancer_version
        self._max_agents = max_agents
        self._by_agent: dict[str, AgentLink] = {}
        self._by_link: dict[int, AgentLink] = {}
        self.changes: Latest[int] = buffer.changes
        """Grows whenever a snapshot may differ from the last one."""
        self.condition: Latest[int] = Latest(0)
        """Grows when an agent joins, leaves, or reports another status."""
        self.generation_possible: Latest[bool] = Latest(False)
        """Whether some agent may be given generations now."""

    @property
    def records(self) -> Iterable[AgentRecord]:
        """Everyone connected, in the order they joined."""
        return (link.record for link in self._by_agent.values())

    @property
    def slots_total(self) -> int:
        """Slots that are ready, over all agents."""
        return sum(record.slots_total for record in self.records)

    @property
    def slots_processing(self) -> int:
        """Slots that are leased, over all agents."""
        return sum(record.slots.n_leased for record in self.records)

    def agent(self, agent_id: str) -> AgentRecord | None:
        """The record of the agent with this id, while it is connected."""
        link = self._by_agent.get(agent_id)
        return link.record if link is not None else None

    def link(self, link_id: int) -> AgentLink | None:
        """The link with this id, while it lasts."""
        return self._by_link.get(link_id)

    def serving(self, kind: RequestKind) -> list[AgentRecord]:
        """Agents that may be given requests of `kind` now."""
        return [record for record in self.records if kind in record.serves]

    def why_none_serves(self, kind: RequestKind) -> str | None:
        """Why no agent could take a request of `kind`, were all slots free; None if one could."""
        return self._buffer.pool.why_none_serves(SlotHints(kind=kind))

    async def ask_any(self, question: Question) -> Answer | None:
        """The answer of the least busy agent; None if it found none, or nobody is there."""
        links = [link for link in self._by_agent.values() if not link.record.leaving]
        if not links:
            return None
        return await min(links, key=lambda link: link.n_requests).ask(question)

    def snapshot(self) -> AgentsSnapshot:
        """The whole fleet as the management service shows it."""
        return AgentsSnapshot(agents=[record.snapshot() for record in self.records])

    def join(self, agent_id: str, hello: Hello, limits: LinkLimits | None = None) -> AgentLink:
        """Register an agent; an older link of the same agent ends.

        Raises:
            LinkRefused: As many agents are connected as may.
        """
        stale = self._by_agent.get(agent_id)
        if stale is not None:
            stale.end(LinkReplaced("the agent connected again"))
            self.leave(stale, "the agent connected again")
        if len(self._by_agent) >= self._max_agents:
            crowded = f"{self._max_agents} agents are connected already"
            raise LinkRefused(crowded)
        record = AgentRecord(id=agent_id, hello=hello, slots=self._buffer.pool.join())
        link = AgentLink(
            record,
            self._condition_changed,
            self._cache_reported,
            limits or LinkLimits(),
            self._balancer_version,
        )
        self._by_agent[agent_id] = link
        self._by_link[link.record.link_id] = link
        logger.info(
            "agent_joined agent=%s name=%r slots=%d version=%r",
            agent_id,
            hello.name,
            hello.slots,
            hello.paddler_version,
        )
        self._condition_changed(link)
        return link

    def leave(self, link: AgentLink, reason: str) -> None:
        """Forget an agent whose link ended; its requests are told. Idempotent."""
        if self._by_link.pop(link.record.link_id, None) is None:
            return
        self._by_agent.pop(link.record.id, None)
        logger.info(
            "agent_left agent=%s reason=%r requests=%d", link.record.id, reason, link.n_requests
        )
        self._buffer.pool.leave(link.record.slots)
        link.give_back_all(reason)
        self._announce()

    def tell(self, record: AgentRecord, frame: ApplyState) -> None:
        """Tell an agent to apply a state; it gets no new requests until it has."""
        link = self._by_link.get(record.link_id)
        if link is None:
            return
        record.told_version = frame.version
        record.status_when_told = record.status
        link.apply(frame)
        self._condition_changed(link)

    def set_foreign_issues(self, record: AgentRecord, issues: Sequence[Issue]) -> None:
        """Show issues of others at an agent they concern."""
        if list(record.foreign_issues) != list(issues):
            record.foreign_issues = tuple(issues)
            self.changes.set(self.changes.value + 1)

    def _condition_changed(self, link: AgentLink) -> None:
        record = link.record
        if record.link_id in self._by_link:
            self._buffer.pool.update(
                record.slots,
                n_slots=record.slots_total,
                serves=record.serves,
                state_version=record.applied_version,
                prefill_tokens_per_s=record.prefill_tokens_per_s,
            )
        self._announce()

    def _cache_reported(self, record: AgentRecord, tips: list[int]) -> None:
        self._buffer.pool.reported(record.slots, tips)

    def _announce(self) -> None:
        possible = any(RequestKind.GENERATION in record.serves for record in self.records)
        if possible != self.generation_possible.value:
            self.generation_possible.set(possible)
        self.condition.set(self.condition.value + 1)
        self.changes.set(self.changes.value + 1)
