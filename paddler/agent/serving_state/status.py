"""What the agent says about itself, put together from those who know the parts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from paddler.concurrency.latest import Latest
from paddler.messages.agents import ApplicationStatus, Issue
from paddler.messages.link import AgentStatus, Download, ModelDescription

__all__ = ["StatusBoard"]

_SPEED_CHANGE_WORTH_TELLING = 0.25


class StatusBoard:
    """The agent's status; watchers of `latest` hear of every change, and only of changes."""

    def __init__(self, n_slots: int) -> None:
        self._n_slots = n_slots
        self.latest = Latest(
            AgentStatus(
                status=ApplicationStatus.FRESH,
                applied_version=None,
                slots_total=0,
                model=None,
                download=None,
                issues=[],
            )
        )

    def set_application(
        self,
        status: ApplicationStatus,
        *,
        applied_version: int | None,
        attempted_version: int | None,
    ) -> None:
        """How far the state the balancer told is applied."""
        self._replace(
            status=status,
            applied_version=applied_version,
            attempted_version=attempted_version,
        )

    def set_model(self, model: ModelDescription | None) -> None:
        """The model whose engine is open."""
        if model is None:
            self._replace(model=None, slots_total=0, prefill_tokens_per_s=None)
        else:
            self._replace(model=model, slots_total=self._n_slots)

    def set_issues(self, issues: Sequence[Issue]) -> None:
        """What is wrong now."""
        self._replace(issues=list(issues))

    def set_download(self, download: Download | None) -> None:
        """The download or load in progress."""
        self._replace(download=download)

    def set_prefill_speed(self, tokens_per_s: float) -> None:
        """The measured prefill speed; small changes are not worth a frame."""
        told = self.latest.value.prefill_tokens_per_s
        if tokens_per_s <= 0.0:
            return
        if told is None or abs(tokens_per_s - told) > _SPEED_CHANGE_WORTH_TELLING * told:
            self._replace(prefill_tokens_per_s=tokens_per_s)

    def _replace(self, **changes: object) -> None:
        status = msgspec.structs.replace(self.latest.value, **changes)
        if status != self.latest.value:
            self.latest.set(status)
