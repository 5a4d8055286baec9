"""Which agents swap to a new state next. Pure: agents in, agents to tell out.

Rules:
- An agent that serves nothing takes nothing away: it is told at once.
- Of the agents that serve, at most half swap at the same time, at least one:
  someone always serves, if more than one did.
- A state is proven once one agent has applied it. While it is unproven and an
  agent failed with it, the rollout is stopped: agents that serve the old state
  keep it, and an agent that joins gets the state the fleet serves. The rollout
  goes on by itself when a failed agent succeeds after all.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection, Sequence

from paddler.balancer.fleet.agents import AgentRecord


class Condition(enum.Enum):
    """Where an agent stands with the state it was told last."""

    EMPTY = "empty"
    """Was told nothing yet."""
    SERVING = "serving"
    SWAPPING = "swapping"
    FAILED = "failed"


def condition_of(agent: AgentRecord) -> Condition:
    """Where `agent` stands with the state it was told last."""
    if agent.told_version is None:
        return Condition.EMPTY
    if agent.is_settled:
        return Condition.SERVING
    return Condition.FAILED if agent.has_failed else Condition.SWAPPING


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What is rolled out.

    `previous` is the version that was proven last before `newest`. `failed_ids`
    are the agents that failed with `newest`, or were lost while they tried,
    also if they are not connected.
    """

    newest: int
    previous: int | None
    is_proven: bool
    failed_ids: Collection[str]

    @property
    def is_stopped(self) -> bool:
        """No agent that serves is told the newest state."""
        return bool(self.failed_ids) and not self.is_proven


@dataclasses.dataclass(slots=True)
class RolloutStep:
    """What to do now; `kept_back` are agents that a stopped rollout passes over."""

    tell_newest: list[AgentRecord] = dataclasses.field(default_factory=list)
    tell_previous: list[AgentRecord] = dataclasses.field(default_factory=list)
    kept_back: list[AgentRecord] = dataclasses.field(default_factory=list)


def next_step(agents: Sequence[AgentRecord], rollout: Rollout) -> RolloutStep:
    """Plan the next step; nothing to tell means to wait for what agents report."""
    step = RolloutStep()
    conditions = {agent.link_id: condition_of(agent) for agent in agents}
    fleet_serves_previous = rollout.previous is not None and any(
        agent.told_version == rollout.previous and conditions[agent.link_id] is Condition.SERVING
        for agent in agents
    )
    n_swapping = 0
    serving_old: list[AgentRecord] = []
    for agent in agents:
        condition = conditions[agent.link_id]
        if agent.told_version == rollout.newest:
            n_swapping += condition is Condition.SWAPPING
        elif condition is Condition.SERVING:
            serving_old.append(agent)
        elif condition is Condition.EMPTY and agent.applied_version == rollout.newest:
            step.tell_newest.append(agent)
        elif _is_back_with(agent, rollout.previous, condition):
            if condition is Condition.EMPTY:
                step.tell_previous.append(agent)
        elif rollout.is_stopped and fleet_serves_previous and agent.id not in rollout.failed_ids:
            step.kept_back.append(agent)
            if agent.told_version != rollout.previous:
                step.tell_previous.append(agent)
        else:
            step.tell_newest.append(agent)
            n_swapping += 1
    if rollout.is_stopped:
        step.kept_back.extend(serving_old)
        return step
    n_serving = sum(condition is Condition.SERVING for condition in conditions.values())
    window = max(1, (n_serving + n_swapping) // 2)
    step.tell_newest.extend(serving_old[: max(0, window - n_swapping)])
    return step


def _is_back_with(agent: AgentRecord, version: int | None, condition: Condition) -> bool:
    """Whether it came back serving `version`, and has only to be told so, or just was."""
    if version is None or agent.hello.applied_version != version:
        return False
    if condition is Condition.EMPTY:
        return agent.applied_version == version
    return condition is Condition.SWAPPING and agent.told_version == version
