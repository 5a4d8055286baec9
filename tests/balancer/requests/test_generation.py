"""A generation's life over scripted agents, in virtual time."""

from __future__ import annotations

import dataclasses

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.balancer.requests.errors import (
    BufferFull,
    BufferTimeout,
    GenerationNotSupported,
    ShuttingDown,
)
from paddler.balancer.requests.items import GenerationError, GenerationItem, GenerationStart
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.generation import (
    GenerationFailed,
    GenerationFailure,
    GenerationOrder,
    GenerationRefused,
    GenerationStarted,
    RawPrompt,
    TokenClass,
    TokenEvent,
)
from paddler.messages.link import CancelRequest, Generate, LoadReport, SlotReport
from tests.balancer.core import Core, desired_state, open_core
from tests.support.scripted_agents import (
    ScriptedAgent,
    connected,
    done,
    hello,
    model_description,
    start_agent,
    token,
)

ORDER = GenerationOrder(prompt=RawPrompt("Once"), max_tokens=10)


@dataclasses.dataclass
class Client:
    """A request as a service runs it."""

    outbox: Mailbox[GenerationItem]
    scope: trio.CancelScope
    start: GenerationStart | None = None

    async def rest(self) -> list[GenerationItem]:
        """Everything until the outbox is closed."""
        return [item async for items in self.outbox for item in items]


async def ask(nursery: trio.Nursery, core: Core, capacity: int = 1000) -> Client:
    """Start a request and wait until it has a slot."""
    client = Client(Mailbox(capacity), trio.CancelScope())

    async def run(*, task_status: trio.TaskStatus[GenerationStart]) -> None:
        with client.scope:
            await core.generations.run(ORDER, client.outbox, task_status=task_status)

    client.start = await nursery.start(run)
    return client


async def test_tokens_arrive_in_order_and_the_outbox_closes(autojump_clock: MockClock) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello("one")) as [agent],
        trio.open_nursery() as nursery,
    ):
        client = await ask(nursery, core)
        request = await agent.next_generate()
        assert request.order == ORDER
        assert request.resume is None
        started = GenerationStarted(0, 5, 2)
        await agent.events(request.request_id, started, token("a", 1))
        await agent.events(request.request_id, token("b", 2), done(content_tokens=2))
        items = await client.rest()
        assert items == [started, token("a", 1), token("b", 2), done(content_tokens=2)]
        await wait_all_tasks_blocked()
        assert core.fleet.slots_processing == 0
        assert not any(isinstance(frame, CancelRequest) for frame in agent.received)
        assert client.start is not None
        assert client.start.agent_name == "one"


async def test_timings_count_buffer_and_first_token(autojump_clock: MockClock) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:

        async def join_later() -> None:
            await trio.sleep(2)
            agent = start_agent(nursery, core.fleet)
            await agent.send(agent.hello)
            request = await agent.next_generate()
            await trio.sleep(1)
            await agent.events(request.request_id, token("a"), done())

        nursery.start_soon(join_later)
        client = await ask(nursery, core)
        assert client.start is not None
        assert client.start.buffered_ms == pytest.approx(2000)
        assert client.start.ttft_ms is None
        await client.rest()
        assert client.start.ttft_ms == pytest.approx(3000)
        nursery.cancel_scope.cancel()


async def test_cancelling_cancels_at_the_agent_and_frees_the_slot_at_once(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello()) as [agent],
        trio.open_nursery() as nursery,
    ):
        client = await ask(nursery, core)
        request = await agent.next_generate()
        client.scope.cancel()
        cancelled = await agent.next_cancel()
        assert cancelled.request_id == request.request_id
        assert core.fleet.slots_processing == 0
        # What was on its way already changes nothing.
        await agent.events(request.request_id, token("late"), done())
        await wait_all_tasks_blocked()
        assert core.fleet.agent("a1") is not None


async def test_request_of_a_lost_agent_goes_on_after_its_last_token(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello("one"), hello("two")) as agents,
        trio.open_nursery() as nursery,
    ):
        client = await ask(nursery, core)
        first, second = by_name(agents, client)
        request = await first.next_generate()
        await first.events(
            request.request_id,
            GenerationStarted(0, 5, 0),
            token("é", 11),
            TokenEvent(TokenClass.CONTENT, "", [12, 13]),
        )
        await wait_all_tasks_blocked()
        await first.vanish()
        continued = await second.next_generate()
        assert continued.resume is not None
        assert continued.resume.token_ids == [11, 12, 13]
        assert continued.resume.n_sent_bytes == 2
        await second.events(
            continued.request_id, GenerationStarted(0, 8, 0), token("b", 14), done()
        )
        items = await client.rest()
        assert [item.text for item in items if isinstance(item, TokenEvent)] == ["é", "", "b"]
        assert sum(isinstance(item, GenerationStarted) for item in items) == 1
        assert items[-1] == done()
        assert client.start is not None
        assert client.start.agent_name == second.hello.name
        assert client.start.n_takeovers == 1


async def test_lost_agent_without_successor_is_a_502_after_the_buffer_timeout(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello()) as [agent],
        trio.open_nursery() as nursery,
    ):
        client = await ask(nursery, core)
        await agent.next_generate()
        lost_at = trio.current_time()
        await agent.vanish()
        [item] = await client.rest()
        assert isinstance(item, GenerationError)
        assert item.code == 502
        assert trio.current_time() - lost_at == pytest.approx(10)


async def test_request_handed_over_goes_ahead_of_those_that_wait(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello("one")) as [one],
        trio.open_nursery() as nursery,
    ):
        running = await ask(nursery, core)
        waiting: list[Client] = []

        async def newcomer() -> None:
            waiting.append(await ask(nursery, core))

        nursery.start_soon(newcomer)
        request = await one.next_generate()
        await one.events(request.request_id, token("a", 1))
        await one.say_leaving()
        await one.hand_over(request.request_id)
        await wait_all_tasks_blocked()
        assert core.buffer.waiting.value == 2
        two = start_agent(nursery, core.fleet, "a2", agent_hello=hello("two"))
        await two.send(two.hello)
        continued = await two.next_generate()
        assert continued.resume is not None
        await two.events(continued.request_id, done())
        await running.rest()
        await two.next_generate()
        await wait_all_tasks_blocked()
        assert len(waiting) == 1
        nursery.cancel_scope.cancel()


async def test_silent_agent_is_a_504_after_the_item_timeout(autojump_clock: MockClock) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello()) as [agent],
        trio.open_nursery() as nursery,
    ):
        client = await ask(nursery, core)
        request = await agent.next_generate()
        for _ in range(3):
            await trio.sleep(29)
            await agent.events(request.request_id, token("a"))
        last_at = trio.current_time()
        items = await client.rest()
        assert isinstance(items[-1], GenerationError)
        assert items[-1].code == 504
        assert trio.current_time() - last_at == pytest.approx(30, abs=0.01)
        await agent.next_cancel()


async def test_long_prefill_that_advances_is_not_silence(autojump_clock: MockClock) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello()) as [agent],
        trio.open_nursery() as nursery,
    ):
        client = await ask(nursery, core)
        request = await agent.next_generate()
        await agent.events(request.request_id, GenerationStarted(0, 9000, 10))

        async def report(cached_tokens: int) -> None:
            slots = [SlotReport("prefill", cached_tokens)]
            await agent.send(
                LoadReport(slots=slots, generated_tokens_per_s=0.0, prompt_cache_bytes=0)
            )

        for step in range(1, 5):
            await trio.sleep(20)
            await report(10 + 100 * step)
        stuck_at = trio.current_time()
        await trio.sleep(20)
        await report(410)
        items = await client.rest()
        assert isinstance(items[-1], GenerationError)
        assert items[-1].code == 504
        assert trio.current_time() - stuck_at == pytest.approx(30, abs=0.01)


async def test_refusals_become_errors_and_failures_stay_events(autojump_clock: MockClock) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello()) as [agent],
        trio.open_nursery() as nursery,
    ):
        refused = await ask(nursery, core)
        request = await agent.next_generate()
        await agent.events(request.request_id, GenerationRefused(400, "too long"))
        assert await refused.rest() == [GenerationError(400, "too long")]
        failed = await ask(nursery, core)
        request = await agent.next_generate()
        failure = GenerationFailed(GenerationFailure.SAMPLER_ERROR, "no")
        await agent.events(request.request_id, failure)
        assert await failed.rest() == [failure]


async def test_outbox_that_nobody_reads_ends_its_request_and_not_the_link(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello(slots=2)) as [agent],
        trio.open_nursery() as nursery,
    ):
        slow = await ask(nursery, core, capacity=3)
        quick = await ask(nursery, core)
        slow_request = await agent.next_generate()
        quick_request = await agent.next_generate()
        for _ in range(4):
            await agent.events(slow_request.request_id, token("a"))
        await agent.next_cancel()
        await agent.events(quick_request.request_id, token("b"), done())
        assert await quick.rest() == [token("b"), done()]
        items = await slow.rest()
        assert len(items) == 4
        assert isinstance(items[-1], GenerationError)
        assert items[-1].code == 503


async def test_request_that_kills_every_agent_does_not_kill_the_fleet(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, *[hello(f"agent-{n}") for n in range(8)]) as agents,
        trio.open_nursery() as nursery,
    ):
        client = await ask(nursery, core)
        n_killed = 0
        for _ in range(8):
            await wait_all_tasks_blocked()
            victims = [a for a in agents if any(isinstance(f, Generate) for f in a.received)]
            for victim in victims:
                victim.received.clear()
                await victim.vanish()
                n_killed += 1
        [item] = await client.rest()
        assert isinstance(item, GenerationError)
        assert item.code == 502
        assert n_killed == 5


async def test_errors_before_a_slot_are_raised(autojump_clock: MockClock) -> None:
    async with open_core(max_waiting=1) as core, trio.open_nursery() as nursery:

        async def wait_in_vain() -> None:
            with pytest.raises(BufferTimeout):
                await core.generations.run(ORDER, Mailbox(1))

        nursery.start_soon(wait_in_vain)
        await wait_all_tasks_blocked()
        with pytest.raises(BufferFull):
            await core.generations.run(ORDER, Mailbox(1))


async def test_embeddings_only_model_does_not_generate(autojump_clock: MockClock) -> None:
    async with open_core() as core, trio.open_nursery() as nursery:

        def embeds_only(agent: ScriptedAgent) -> None:
            agent.model = model_description(can_generate=False, can_embed=True)

        agent = start_agent(nursery, core.fleet, setup=embeds_only)
        await agent.send(agent.hello)
        await wait_all_tasks_blocked()
        assert core.fleet.generation_possible.value is False
        with pytest.raises(GenerationNotSupported):
            await core.generations.run(ORDER, Mailbox(1))
        nursery.cancel_scope.cancel()


async def test_shutting_down_tells_running_and_waiting_requests(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello()),
        trio.open_nursery() as nursery,
    ):
        running = await ask(nursery, core)

        async def wait_in_vain() -> None:
            with pytest.raises(ShuttingDown):
                await core.generations.run(ORDER, Mailbox(1))

        nursery.start_soon(wait_in_vain)
        await wait_all_tasks_blocked()
        core.generations.shut_down()
        [item] = await running.rest()
        assert isinstance(item, GenerationError)
        assert item.code == 503
        with pytest.raises(ShuttingDown):
            await core.generations.run(ORDER, Mailbox(1))


async def test_generation_never_goes_on_under_another_state(autojump_clock: MockClock) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello()) as [agent],
        trio.open_nursery() as nursery,
    ):
        begun = await ask(nursery, core)
        request = await agent.next_generate()
        await agent.events(request.request_id, token("a", 1))
        await wait_all_tasks_blocked()
        agent.applies = False
        await core.states.put(desired_state("/other.gguf"))
        await wait_all_tasks_blocked()
        await agent.hand_over(request.request_id)
        told = core.fleet.agent("a1")
        assert told is not None
        await agent.report(applied_version=told.told_version)
        items = await begun.rest()
        assert isinstance(items[-1], GenerationError)
        assert items[-1].code == 502


async def test_request_without_a_token_may_go_on_under_another_state(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_core() as core,
        connected(core.fleet, hello()) as [agent],
        trio.open_nursery() as nursery,
    ):
        client = await ask(nursery, core)
        request = await agent.next_generate()
        agent.applies = False
        await core.states.put(desired_state("/other.gguf"))
        await wait_all_tasks_blocked()
        await agent.hand_over(request.request_id)
        told = core.fleet.agent("a1")
        assert told is not None
        await agent.report(applied_version=told.told_version)
        again = await agent.next_generate()
        assert again.resume is None
        await agent.events(again.request_id, done())
        assert await client.rest() == [done()]


def by_name(agents: list[ScriptedAgent], client: Client) -> tuple[ScriptedAgent, ScriptedAgent]:
    """The agent that serves `client`, and the other one."""
    assert client.start is not None
    name = client.start.agent_name
    [serving] = [agent for agent in agents if agent.hello.name == name]
    [other] = [agent for agent in agents if agent.hello.name != name]
    return serving, other
