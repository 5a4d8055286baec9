"""The dashboard's view of the fleet, made at most once per tick for all who watch."""

from __future__ import annotations

import collections

import msgspec

from paddler.balancer.deployments.desired_state import DesiredStates, version_of
from paddler.balancer.deployments.rollout import Condition, condition_of
from paddler.balancer.dispatch.buffer import Buffer
from paddler.balancer.fleet.agents import AgentRecord
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.metrics.history import History
from paddler.balancer.services.management.issue_advice import explain_issue
from paddler.messages.dashboard import (
    AgentModelDetails,
    AgentView,
    BufferView,
    DashboardSnapshot,
    ModelView,
    RolloutStage,
    RolloutView,
    SlotView,
)
from paddler.messages.link import ModelDescription, SlotReport
from paddler.messages.state import ApplicableState
from paddler.version import paddler_version


def tokens_per_s_of(record: AgentRecord) -> float:
    """What the agent generates now: its last report, while it has requests."""
    load = record.load
    if load is None or record.slots.n_leased == 0:
        return 0.0
    return load.generated_tokens_per_s


def tokens_per_s_of_fleet(fleet: Fleet) -> float:
    """What all agents generate now."""
    return sum(tokens_per_s_of(record) for record in fleet.records)


class Dashboard:
    """Makes snapshots; `changes` moves on when there may be a new one."""

    def __init__(
        self, *, fleet: Fleet, buffer: Buffer, states: DesiredStates, history: History
    ) -> None:
        self._fleet = fleet
        self._buffer = buffer
        self._states = states
        self.history = history
        self.changes = history.ticks
        self._made: tuple[int, bytes] | None = None
        self._newest: tuple[ApplicableState, int] | None = None

    def json(self) -> bytes:
        """The snapshot of the present tick, encoded."""
        tick = self.changes.version
        if self._made is None or self._made[0] != tick:
            self._made = tick, msgspec.json.encode(self.snapshot())
        return self._made[1]

    def snapshot(self) -> DashboardSnapshot:
        """Everything now."""
        version = self._newest_version()
        agents = [_view(record, version) for record in self._fleet.records]
        stages = collections.Counter(agent.stage for agent in agents)
        model = self._states.desired.model
        return DashboardSnapshot(
            instance=self.history.instance,
            version=paddler_version(),
            model_path=model if isinstance(model, str) else model.path,
            state_revision=self._states.revision,
            buffer=BufferView(
                waiting=self._buffer.waiting.value,
                capacity=self._buffer.max_waiting,
                timeout_ms=round(self._buffer.timeout_s * 1000),
            ),
            slots_total=self._fleet.slots_total,
            slots_processing=self._fleet.slots_processing,
            tokens_per_s=round(tokens_per_s_of_fleet(self._fleet), 1),
            rollout=RolloutView(
                applied=stages["applied"],
                applying=stages["applying"],
                failed=stages["failed"],
                kept_back=stages["kept_back"],
                waiting=stages["waiting"],
            ),
            agents=agents,
            sample=self.history.newest,
        )

    def _newest_version(self) -> int | None:
        state = self._states.applicable
        if state is None:
            return None
        if self._newest is None or self._newest[0] is not state:
            self._newest = state, version_of(state)
        return self._newest[1]


def model_details(model: ModelDescription) -> AgentModelDetails:
    """What the viewer of metadata and template shows."""
    return AgentModelDetails(
        path=model.path,
        name=model.name,
        metadata=model.metadata,
        chat_template=model.chat_template,
        uses_chat_template_override=model.uses_chat_template_override,
    )


def _view(record: AgentRecord, newest_version: int | None) -> AgentView:
    load, status = record.load, record.status
    is_idle = record.slots.n_leased == 0
    slots = [_slot_view(report, is_idle=is_idle) for report in load.slots] if load else []
    n_slots = record.slots_total
    idle = SlotView(state="free", cached_tokens=0)
    return AgentView(
        id=record.id,
        name=record.name,
        paddler_version=record.hello.paddler_version,
        llama_cpp_version=record.hello.llama_cpp_version,
        status=record.application_status,
        stage=_stage(record, newest_version),
        slots_desired=record.hello.slots,
        slots_processing=record.slots.n_leased,
        # Before the first report of load, and without a model, slots have nothing to tell.
        slots=(slots + [idle] * n_slots)[:n_slots],
        tokens_per_s=tokens_per_s_of(record),
        prefill_tokens_per_s=status.prefill_tokens_per_s if status is not None else None,
        prompt_cache_bytes=load.prompt_cache_bytes if load is not None else 0,
        model=_model_view(record.description),
        download=record.download,
        issues=[explain_issue(issue) for issue in record.issues],
    )


def _slot_view(report: SlotReport, *, is_idle: bool) -> SlotView:
    # The last report before an agent fell idle may still show its last request.
    state = "free" if is_idle else report.state
    return SlotView(state=state, cached_tokens=report.cached_tokens)


def _stage(record: AgentRecord, newest_version: int | None) -> RolloutStage:
    if record.told_version == newest_version and newest_version is not None:
        match condition_of(record):
            case Condition.SERVING:
                return "applied"
            case Condition.FAILED:
                return "failed"
            case Condition.SWAPPING | Condition.EMPTY:
                return "applying"
    return "kept_back" if record.foreign_issues else "waiting"


def _model_view(model: ModelDescription | None) -> ModelView | None:
    if model is None:
        return None
    return ModelView(
        path=model.path,
        name=model.name,
        context_tokens=model.context_tokens,
        n_parameters=model.n_parameters,
        size_bytes=model.size_bytes,
        can_generate=model.can_generate,
        can_embed=model.can_embed,
        supports_images=model.supports_images,
        has_chat_template=model.chat_template is not None,
        uses_chat_template_override=model.uses_chat_template_override,
    )
