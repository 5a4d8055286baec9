"""The rollout's plan, simulated with agents that succeed, fail, come and go."""

from __future__ import annotations

import random

import hypothesis.strategies as st
from hypothesis import given, settings

from paddler.balancer.deployments.rollout import Condition, Rollout, condition_of, next_step
from paddler.balancer.dispatch.pool import AgentSlots
from paddler.balancer.fleet.agents import AgentRecord
from paddler.messages.agents import ApplicationStatus
from paddler.messages.link import AgentStatus
from tests.support.scripted_agents import hello, model_description

OLD, NEW = 1, 2


def agent(number: int) -> AgentRecord:
    return AgentRecord(id=f"a{number}", hello=hello(), slots=AgentSlots(number))


def applied(record: AgentRecord, version: int) -> None:
    record.status = AgentStatus(
        status=ApplicationStatus.APPLIED,
        applied_version=version,
        slots_total=1,
        model=model_description(),
        download=None,
        issues=[],
    )


def failed(record: AgentRecord) -> None:
    record.status = AgentStatus(
        status=ApplicationStatus.STUCK,
        applied_version=None,
        slots_total=0,
        model=None,
        download=None,
        issues=[],
    )


def tell(record: AgentRecord, version: int) -> None:
    record.told_version = version
    record.status_when_told = record.status


def serving(records: list[AgentRecord]) -> list[AgentRecord]:
    return [record for record in records if condition_of(record) is Condition.SERVING]


class Simulation:
    def __init__(self, n_agents: int) -> None:
        self.records = [agent(number) for number in range(n_agents)]
        self.failed_ids: set[str] = set()
        self.is_proven = False
        for record in self.records:
            tell(record, OLD)
            applied(record, OLD)

    def advance(self) -> None:
        for record in self.records:
            if record.told_version == NEW:
                if condition_of(record) is Condition.SERVING:
                    self.is_proven = True
                    self.failed_ids.discard(record.id)
                elif condition_of(record) is Condition.FAILED:
                    self.failed_ids.add(record.id)
        rollout = Rollout(
            newest=NEW,
            previous=OLD,
            is_proven=self.is_proven,
            failed_ids=self.failed_ids,
        )
        step = next_step(self.records, rollout)
        for record in step.tell_previous:
            tell(record, OLD)
        for record in step.tell_newest:
            tell(record, NEW)
        assert_settled = next_step(self.records, rollout)
        assert not assert_settled.tell_newest
        assert not assert_settled.tell_previous

    def swapping(self) -> list[AgentRecord]:
        return [
            record
            for record in self.records
            if record.told_version == NEW and condition_of(record) is Condition.SWAPPING
        ]


@given(n_agents=st.integers(1, 12), seed=st.integers(0, 1000))
@settings(max_examples=200)
def test_good_state_reaches_everybody_while_half_of_them_serve(n_agents: int, seed: int) -> None:
    source = random.Random(seed)
    fleet = Simulation(n_agents)
    for _ in range(n_agents):
        fleet.advance()
        assert len(serving(fleet.records)) >= n_agents - max(1, n_agents // 2)
        applied(source.choice(fleet.swapping()), NEW)
    fleet.advance()
    assert all(record.told_version == NEW for record in serving(fleet.records))
    assert len(serving(fleet.records)) == n_agents


@given(n_agents=st.integers(2, 12))
def test_bad_state_reaches_half_at_most(n_agents: int) -> None:
    fleet = Simulation(n_agents)
    for _ in range(n_agents):
        fleet.advance()
        for record in fleet.swapping():
            failed(record)
    fleet.advance()
    assert len(serving(fleet.records)) >= n_agents - n_agents // 2
    assert all(record.told_version == OLD for record in serving(fleet.records))


@given(
    n_agents=st.integers(1, 8),
    events=st.lists(
        st.tuples(st.sampled_from(["apply", "fail", "leave", "join"]), st.integers(0, 7)),
        max_size=60,
    ),
)
@settings(max_examples=300)
def test_whatever_happens_an_old_agent_never_swaps_once_too_many(
    n_agents: int, events: list[tuple[str, int]]
) -> None:
    fleet = Simulation(n_agents)
    number = n_agents
    for event, which in events:
        n_before = len(serving(fleet.records))
        n_busy = len(fleet.swapping())
        fleet.advance()
        n_taken = n_before - len(serving(fleet.records))
        assert n_taken <= max(1, (n_before + n_busy) // 2)
        if n_taken and len(fleet.records) > 1 and n_before > 1:
            assert serving(fleet.records), "nobody serves any more"
        swapping = fleet.swapping()
        if event == "join":
            fleet.records.append(agent(number))
            number += 1
        elif event == "leave" and fleet.records:
            del fleet.records[which % len(fleet.records)]
        elif swapping and event == "apply":
            applied(swapping[which % len(swapping)], NEW)
        elif swapping and event == "fail":
            failed(swapping[which % len(swapping)])
