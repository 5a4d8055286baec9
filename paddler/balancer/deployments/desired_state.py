"""What the operator asked for: stored, resolved, and rolled out over the fleet.

`put` stores a state before anybody hears of it. `run` tells agents, a few at a
time (see `rollout`), and watches what becomes of it. Requests that no agent
may take meanwhile wait in the buffer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from typing import Protocol

import msgspec
import trio

from paddler.balancer.deployments.rollout import Condition, Rollout, condition_of, next_step
from paddler.balancer.fleet.agents import AgentRecord
from paddler.balancer.fleet.fleet import Fleet
from paddler.messages.agents import Issue, ModelIssue
from paddler.messages.link import ApplyState
from paddler.messages.state import ApplicableState, DesiredState

logger = logging.getLogger(__name__)

MAX_FOREIGN_ISSUES = 16
"""How many of the issues that stopped a rollout are shown at each other agent."""


class DesiredStateStore(Protocol):
    """Where the desired state is kept; `state_database` has such."""

    async def load(self) -> DesiredState:
        """The state saved last, or the defaults."""

    async def save(self, state: DesiredState) -> None:
        """Keep `state`."""


def version_of(state: ApplicableState) -> int:
    """A number that stands for the content of `state`, below 2**63."""
    digest = hashlib.blake2b(msgspec.json.encode(state), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclasses.dataclass(slots=True)
class _Newest:
    """The state that is rolled out, and what is known of it."""

    version: int
    state: ApplicableState
    is_proven: bool = False
    failures: dict[str, list[Issue]] = dataclasses.field(default_factory=dict)
    trying: dict[int, AgentRecord] = dataclasses.field(default_factory=dict)


class DesiredStates:
    """The desired state of the fleet.

    Args:
        fleet: Who is told.
        database: Where states are kept.
        drain_timeout_s: How long an agent's requests may go on before they
            are handed over, in seconds.
    """

    def __init__(
        self, *, fleet: Fleet, database: DesiredStateStore, drain_timeout_s: float = 30.0
    ) -> None:
        self._fleet = fleet
        self._database = database
        self._drain_timeout_s = drain_timeout_s
        self._desired = DesiredState()
        self._n_adopted = 0
        self._newest: _Newest | None = None
        self._previous: tuple[int, ApplicableState] | None = None
        self._putting = trio.Lock()

    @property
    def desired(self) -> DesiredState:
        """What the operator asked for last."""
        return self._desired

    @property
    def revision(self) -> int:
        """Grows with every state that is asked for, since the start."""
        return self._n_adopted

    @property
    def applicable(self) -> ApplicableState | None:
        """What agents are told; None before `load`."""
        return self._newest.state if self._newest is not None else None

    async def load(self) -> None:
        """Take the state from the database; raises what the database raises."""
        self._adopt(await self._database.load())

    async def put(self, state: DesiredState) -> None:
        """Store `state`, then let `run` roll it out; raises what the database raises.

        The same state once more lets a stopped rollout try again.
        """
        async with self._putting:
            await self._database.save(state)
            self._adopt(state)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Roll out the newest state and whatever follows it, for ever."""
        seen = self._fleet.condition.version - 1
        task_status.started()
        while True:
            seen = await self._fleet.condition.wait_past(seen)
            self._advance()

    def _adopt(self, desired: DesiredState) -> None:
        self._desired = desired
        self._n_adopted += 1
        state = desired.applicable()
        version = version_of(state)
        newest = self._newest
        if newest is not None and newest.version == version:
            self._try_again(newest)
        else:
            if newest is not None and newest.is_proven:
                self._previous = (newest.version, newest.state)
            self._newest = _Newest(version, state)
            logger.info("state_adopted version=%d", version)
        self._fleet.condition.set(self._fleet.condition.value + 1)

    def _try_again(self, newest: _Newest) -> None:
        newest.failures.clear()
        for record in list(self._fleet.records):
            if record.told_version == newest.version and record.has_failed:
                self._fleet.tell(record, self._frame(newest.version, newest.state))

    def _advance(self) -> None:
        newest = self._newest
        if newest is None:
            return
        records = list(self._fleet.records)
        self._learn(newest, records)
        rollout = Rollout(
            newest=newest.version,
            previous=self._previous[0] if self._previous is not None else None,
            is_proven=newest.is_proven,
            failed_ids=newest.failures.keys(),
        )
        step = next_step(records, rollout)
        if self._previous is not None:
            for record in step.tell_previous:
                self._tell(record, *self._previous)
        for record in step.tell_newest:
            self._tell(record, newest.version, newest.state)
        self._show_why(newest, records, {record.link_id for record in step.kept_back})

    def _learn(self, newest: _Newest, records: list[AgentRecord]) -> None:
        connected = {record.link_id for record in records}
        for link_id, record in newest.trying.items():
            if link_id not in connected and not record.leaving:
                self._note_failure(newest, record, [])
        newest.trying.clear()
        for record in records:
            if record.told_version != newest.version:
                continue
            condition = condition_of(record)
            if condition is Condition.SERVING:
                newest.failures.pop(record.id, None)
                newest.is_proven = True
            elif condition is Condition.SWAPPING:
                newest.trying[record.link_id] = record
            elif condition is Condition.FAILED and record.status is not None:
                self._note_failure(newest, record, record.status.issues)

    def _note_failure(self, newest: _Newest, record: AgentRecord, issues: list[Issue]) -> None:
        if record.id not in newest.failures:
            logger.warning(
                "state_failed agent=%s version=%d issues=%d rollout_stopped=%s",
                record.id,
                newest.version,
                len(issues),
                not newest.is_proven,
            )
        model = newest.state.model
        unknown = ModelIssue(
            kind="ModelCannotBeLoaded", model_path="None" if isinstance(model, str) else model.path
        )
        newest.failures[record.id] = issues or newest.failures.get(record.id) or [unknown]

    def _show_why(self, newest: _Newest, records: list[AgentRecord], kept_back: set[int]) -> None:
        issues: list[Issue] = []
        for failure in newest.failures.values():
            issues.extend(issue for issue in failure if issue not in issues)
        for record in records:
            shown = issues[:MAX_FOREIGN_ISSUES] if record.link_id in kept_back else []
            self._fleet.set_foreign_issues(record, shown)

    def _tell(self, record: AgentRecord, version: int, state: ApplicableState) -> None:
        logger.info("state_told agent=%s version=%d", record.id, version)
        self._fleet.tell(record, self._frame(version, state))

    def _frame(self, version: int, state: ApplicableState) -> ApplyState:
        return ApplyState(version=version, state=state, drain_timeout_s=self._drain_timeout_s)
