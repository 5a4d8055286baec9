"""Rolling out states over scripted agents, in virtual time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.balancer.deployments.desired_state import version_of
from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.state_database.errors import DatabaseUnusable
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.agents import ApplicationStatus, ModelIssue
from paddler.messages.generation import GenerationOrder, RawPrompt
from paddler.messages.link import ApplyState
from paddler.messages.state import ApplicableState, ChatTemplate, DesiredState
from tests.balancer.core import Core, desired_state, open_core
from tests.support.scripted_agents import ScriptedAgent, connected, hello, start_agent

BAD = desired_state("/bad.gguf")
GOOD = desired_state("/good.gguf")
BAD_ISSUE = ModelIssue("ModelFileDoesNotExist", "/bad.gguf")
BAD_ISSUE_JSON = {"ModelFileDoesNotExist": {"model_path": "/bad.gguf"}}


def applicable(state: DesiredState) -> ApplicableState:
    return state.applicable()


def told(agents: list[ScriptedAgent], state: DesiredState) -> list[ScriptedAgent]:
    """Those that were told `state` and have not been asked about it before."""
    version = version_of(applicable(state))
    return [
        agent
        for agent in agents
        if any(isinstance(f, ApplyState) and f.version == version for f in agent.received)
    ]


def n_serving(core: Core) -> int:
    return len(core.fleet.serving(RequestKind.GENERATION))


def do_not_apply(agents: list[ScriptedAgent]) -> None:
    for agent in agents:
        agent.applies = False


async def test_state_is_saved_before_anybody_is_told(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello()) as agents:

        async def refuse(state: DesiredState) -> None:
            message = "disk full"
            raise DatabaseUnusable(message)

        core.database.save = refuse  # type: ignore[method-assign]  # a full disk
        before = core.states.desired
        with pytest.raises(DatabaseUnusable):
            await core.states.put(GOOD)
        await wait_all_tasks_blocked()
        assert core.states.desired == before
        assert told(agents, GOOD) == []


async def test_agents_present_and_future_get_the_state(autojump_clock: MockClock) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        first = start_agent(nursery, core.fleet, "a1")
        await first.send(first.hello)
        await wait_all_tasks_blocked()
        await core.states.put(GOOD)
        await wait_all_tasks_blocked()
        second = start_agent(nursery, core.fleet, "a2")
        await second.send(second.hello)
        await wait_all_tasks_blocked()
        assert told([first, second], GOOD) == [first, second]
        assert core.states.applicable == applicable(GOOD)
        assert await core.database.load() == GOOD
        nursery.cancel_scope.cancel()


async def test_at_most_half_of_the_agents_swap_at_a_time(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, *[hello()] * 5) as agents:
        do_not_apply(agents)
        await core.states.put(GOOD)
        version = version_of(applicable(GOOD))
        done: list[ScriptedAgent] = []
        while len(done) < 5:
            await wait_all_tasks_blocked()
            assert n_serving(core) >= 3
            swapping = [agent for agent in told(agents, GOOD) if agent not in done]
            assert 1 <= len(swapping) <= 2
            await swapping[0].report(applied_version=version)
            done.append(swapping[0])
        await wait_all_tasks_blocked()
        assert n_serving(core) == 5


async def test_of_two_agents_one_always_serves(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello(), hello()) as agents:
        do_not_apply(agents)
        await core.states.put(GOOD)
        await wait_all_tasks_blocked()
        [first] = told(agents, GOOD)
        assert n_serving(core) == 1
        await first.report(applied_version=version_of(applicable(GOOD)))
        await wait_all_tasks_blocked()
        assert told(agents, GOOD) == agents
        assert n_serving(core) == 1


async def test_single_agent_swaps_while_requests_wait(autojump_clock: MockClock) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello()) as [agent],
        trio.open_nursery() as nursery,
    ):
        agent.applies = False
        await core.states.put(GOOD)
        await wait_all_tasks_blocked()
        assert n_serving(core) == 0
        order = GenerationOrder(prompt=RawPrompt("x"))
        nursery.start_soon(core.generations.run, order, Mailbox(10))
        await wait_all_tasks_blocked()
        assert core.buffer.waiting.value == 1
        await agent.report(applied_version=version_of(applicable(GOOD)))
        await agent.next_generate()
        nursery.cancel_scope.cancel()


async def test_state_that_fails_first_is_kept_from_the_others_and_said_so(
    autojump_clock: MockClock,
) -> None:
    async with open_core() as core, connected(core.fleet, *[hello()] * 4) as agents:
        do_not_apply(agents)
        await core.states.put(BAD)
        await wait_all_tasks_blocked()
        first_two = told(agents, BAD)
        assert len(first_two) == 2
        for agent in first_two:
            await agent.report(ApplicationStatus.ATTEMPTED_AND_NOT_APPLIABLE, issues=[BAD_ISSUE])
        await wait_all_tasks_blocked()
        assert told(agents, BAD) == first_two
        assert n_serving(core) == 2
        for snapshot in core.fleet.snapshot().agents:
            assert snapshot.issues == [BAD_ISSUE_JSON]
        statuses = [a.state_application_status for a in core.fleet.snapshot().agents]
        assert statuses.count(ApplicationStatus.APPLIED) == 2


async def test_agent_that_joins_a_stopped_rollout_gets_what_the_fleet_serves(
    autojump_clock: MockClock,
) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        old = core.states.desired
        agents = []
        for name in ("a1", "a2"):
            agent = start_agent(nursery, core.fleet, name)
            await agent.send(agent.hello)
            agents.append(agent)
        await wait_all_tasks_blocked()
        do_not_apply(agents)
        await core.states.put(BAD)
        await wait_all_tasks_blocked()
        [failing] = told(agents, BAD)
        await failing.report(ApplicationStatus.STUCK, issues=[BAD_ISSUE])
        newcomer = start_agent(nursery, core.fleet, "a3")
        await newcomer.send(newcomer.hello)
        await wait_all_tasks_blocked()
        assert told([newcomer], BAD) == []
        assert told([newcomer], old) == [newcomer]
        assert n_serving(core) == 2
        # The cause is mended, the first agent succeeds, and the rollout goes on.
        await failing.report(applied_version=version_of(applicable(BAD)))
        await wait_all_tasks_blocked()
        assert len(told([*agents, newcomer], BAD)) == 2
        nursery.cancel_scope.cancel()


async def test_another_state_ends_a_stopped_rollout(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello(), hello()) as agents:
        do_not_apply(agents)
        await core.states.put(BAD)
        await wait_all_tasks_blocked()
        [failing] = told(agents, BAD)
        await failing.report(ApplicationStatus.STUCK, issues=[BAD_ISSUE])
        await wait_all_tasks_blocked()
        for agent in agents:
            agent.applies = True
        await core.states.put(GOOD)
        await wait_all_tasks_blocked()
        assert n_serving(core) == 2
        assert [agent.issues for agent in core.fleet.snapshot().agents] == [[], []]


async def test_same_state_once_more_tries_again(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello(), hello()) as agents:
        do_not_apply(agents)
        await core.states.put(BAD)
        await wait_all_tasks_blocked()
        [failing] = told(agents, BAD)
        await failing.report(ApplicationStatus.ATTEMPTED_AND_NOT_APPLIABLE, issues=[BAD_ISSUE])
        await wait_all_tasks_blocked()
        failing.received.clear()
        for agent in agents:
            agent.applies = True
        await core.states.put(BAD)
        await wait_all_tasks_blocked()
        assert told(agents, BAD) == agents
        assert n_serving(core) == 2


async def test_state_that_kills_its_first_agents_stops_there(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, *[hello()] * 4) as agents:
        do_not_apply(agents)
        await core.states.put(BAD)
        await wait_all_tasks_blocked()
        victims = told(agents, BAD)
        for agent in victims:
            await agent.vanish()
        await wait_all_tasks_blocked()
        assert told(agents, BAD) == victims
        assert n_serving(core) == 2
        for snapshot in core.fleet.snapshot().agents:
            assert snapshot.issues == [{"ModelCannotBeLoaded": {"model_path": "/bad.gguf"}}]


async def test_agent_that_fails_alone_does_not_hold_up_a_proven_state(
    autojump_clock: MockClock,
) -> None:
    async with open_core() as core, connected(core.fleet, *[hello()] * 4) as agents:
        do_not_apply(agents)
        await core.states.put(GOOD)
        await wait_all_tasks_blocked()
        broken, fine = told(agents, GOOD)
        await broken.report(ApplicationStatus.STUCK, issues=[BAD_ISSUE])
        await fine.report(applied_version=version_of(applicable(GOOD)))
        for agent in agents:
            agent.applies = agent is not broken
        for agent in agents:
            if agent not in (broken, fine):
                await wait_all_tasks_blocked()
                if agent in told(agents, GOOD):
                    await agent.report(applied_version=version_of(applicable(GOOD)))
        await wait_all_tasks_blocked()
        assert told(agents, GOOD) == agents
        assert n_serving(core) == 3
        assert [len(a.issues) for a in core.fleet.snapshot().agents].count(1) == 1


async def test_newer_state_replaces_one_that_is_being_applied(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello(), hello()) as agents:
        do_not_apply(agents)
        await core.states.put(desired_state("/first.gguf"))
        await wait_all_tasks_blocked()
        [swapping] = told(agents, desired_state("/first.gguf"))
        await core.states.put(GOOD)
        await wait_all_tasks_blocked()
        assert told(agents, GOOD) == [swapping]
        assert n_serving(core) == 1


async def test_state_that_resolves_to_the_same_tells_nobody(autojump_clock: MockClock) -> None:
    async with open_core() as core, connected(core.fleet, hello()) as [agent]:
        agent.received.clear()
        unused = DesiredState(
            model=core.states.desired.model, chat_template_override=ChatTemplate("unused")
        )
        await core.states.put(unused)
        await wait_all_tasks_blocked()
        assert core.states.desired == unused
        assert agent.received == []
        assert n_serving(core) == 1


async def test_agent_that_comes_back_with_the_old_state_serves_until_its_turn(
    autojump_clock: MockClock,
) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:
        old = core.states.desired
        agents = []
        for name in ("a1", "a2", "a3"):
            agent = start_agent(nursery, core.fleet, name)
            await agent.send(agent.hello)
            agents.append(agent)
        await wait_all_tasks_blocked()
        do_not_apply(agents)
        await core.states.put(GOOD)
        await wait_all_tasks_blocked()
        [swapping] = told(agents, GOOD)
        others = [agent for agent in agents if agent is not swapping]
        await others[0].vanish()
        await wait_all_tasks_blocked()
        back = start_agent(
            nursery,
            core.fleet,
            others[0].id,
            agent_hello=hello(applied_version=version_of(applicable(old))),
        )
        await back.send(back.hello)
        await wait_all_tasks_blocked()
        assert told([back], old) == [back]
        assert told([back], GOOD) == []
        assert n_serving(core) == 2
        nursery.cancel_scope.cancel()


def test_versions_name_contents() -> None:
    assert version_of(applicable(GOOD)) == version_of(applicable(desired_state("/good.gguf")))
    assert version_of(applicable(GOOD)) != version_of(applicable(BAD))
    assert 0 <= version_of(applicable(GOOD)) < 2**63
