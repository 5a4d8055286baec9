"""One connected agent: what it said of itself, and how the outside sees it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from paddler.balancer.dispatch.pool import AgentSlots
from paddler.balancer.dispatch.requests import RequestKind
from paddler.messages.agents import (
    AgentSnapshot,
    ApplicationStatus,
    Issue,
    issue_to_json,
)
from paddler.messages.link import (
    AgentStatus,
    Download,
    Hello,
    LoadReport,
    ModelDescription,
)

MAX_AGENT_SLOTS = 4096
"""More slots than this are not believed, whatever an agent says."""

_FAILED = (
    ApplicationStatus.ATTEMPTED_AND_RETRYING,
    ApplicationStatus.STUCK,
    ApplicationStatus.ATTEMPTED_AND_NOT_APPLIABLE,
)

_NOTHING: frozenset[RequestKind] = frozenset()


@dataclasses.dataclass(slots=True, kw_only=True)
class AgentRecord:
    """What is known of one agent; only the fleet and its link change it.

    `told_version` is the state version it was told to apply last, and
    `status_when_told` its status at that moment: about another state, then.
    `foreign_issues` are issues of the fleet that concern it: why the newest
    state is kept from it.
    """

    id: str
    hello: Hello
    slots: AgentSlots
    status: AgentStatus | None = None
    load: LoadReport | None = None
    told_version: int | None = None
    status_when_told: AgentStatus | None = None
    leaving: bool = False
    foreign_issues: Sequence[Issue] = ()

    @property
    def link_id(self) -> int:
        """Names this connection; an agent that comes back gets another."""
        return self.slots.link_id

    @property
    def name(self) -> str | None:
        """The agent's name, if it has one; not unique."""
        return self.hello.name

    @property
    def description(self) -> ModelDescription | None:
        """The model it serves, if it does."""
        return self.status.model if self.status is not None else None

    @property
    def issues(self) -> list[Issue]:
        """What is wrong, its own issues first."""
        own = self.status.issues if self.status is not None else []
        return [*own, *(issue for issue in self.foreign_issues if issue not in own)]

    @property
    def download(self) -> Download | None:
        """What it downloads or loads at the moment."""
        return self.status.download if self.status is not None else None

    @property
    def application_status(self) -> ApplicationStatus:
        """How far it got with the state it was told to apply."""
        return self.status.status if self.status is not None else ApplicationStatus.FRESH

    @property
    def applied_version(self) -> int | None:
        """The state version it serves."""
        if self.status is None:
            return self.hello.applied_version
        return self.status.applied_version

    @property
    def is_settled(self) -> bool:
        """It applied what it was told."""
        return (
            self.status is not None
            and self.told_version is not None
            and self.status.applied_version == self.told_version
        )

    @property
    def has_failed(self) -> bool:
        """It could not apply what it was told, so far at least."""
        status = self.status
        if status is None or status.status not in _FAILED or self.is_settled:
            return False
        if status.attempted_version is not None:
            return status.attempted_version == self.told_version
        return status is not self.status_when_told

    @property
    def serves(self) -> frozenset[RequestKind]:
        """The kinds of requests it may be given now."""
        model = self.description
        if model is None or self.leaving or not self.is_settled:
            return _NOTHING
        kinds: set[RequestKind] = set()
        if model.can_generate:
            kinds.add(RequestKind.GENERATION)
        if model.can_embed:
            kinds.add(RequestKind.EMBEDDING)
        return frozenset(kinds)

    @property
    def slots_total(self) -> int:
        """Slots that are ready."""
        if self.status is None:
            return 0
        return min(max(self.status.slots_total, 0), MAX_AGENT_SLOTS)

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """Its prefill speed as it measured it."""
        speed = self.status.prefill_tokens_per_s if self.status is not None else None
        return speed if speed is not None and 0.0 < speed < math.inf else None

    def snapshot(self) -> AgentSnapshot:
        """The agent as the management service shows it."""
        download = self.download
        model = self.description
        return AgentSnapshot(
            id=self.id,
            name=self.name,
            desired_slots_total=self.hello.slots,
            slots_total=self.slots_total,
            slots_processing=self.slots.n_leased,
            model_path=model.path if model is not None else None,
            download_current=download.current_bytes if download is not None else 0,
            download_total=download.total_bytes if download is not None else 0,
            download_filename=download.filename if download is not None else None,
            download_indeterminate=download.indeterminate if download is not None else False,
            issues=[issue_to_json(issue) for issue in self.issues],
            state_application_status=self.application_status,
            uses_chat_template_override=(
                model.uses_chat_template_override if model is not None else False
            ),
        )
