"""What every kind of request has in common on its way over agents, in virtual time."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.requests.items import EmbeddingItem, GenerationError, GenerationItem
from paddler.balancer.requests.observations import (
    BufferOutcome,
    Observation,
    RequestEnded,
    RequestOutcome,
    TakenOver,
    WaitEnded,
)
from paddler.balancer.requests.takeover import MAX_HANDED_BACK
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.embeddings import (
    DocumentEmbedding,
    EmbeddingDocument,
    GenerateEmbeddingBatch,
)
from paddler.messages.generation import GenerationOrder, RawPrompt
from paddler.messages.link import CancelRequest, Embed, Generate
from tests.balancer.core import BUFFER_TIMEOUT_S, ITEM_TIMEOUT_S, Core, desired_state, open_core
from tests.support.scripted_agents import (
    ScriptedAgent,
    done,
    hello,
    model_description,
    start_agent,
    token,
)

STATE = desired_state(enable_embeddings=True, embedding_batch_size=100)
ORDER = GenerationOrder(prompt=RawPrompt("Once"), max_tokens=10)
BATCH = GenerateEmbeddingBatch(
    input_batch=[EmbeddingDocument(f"d{number}", "text") for number in range(20)],
    normalization_method="None",
)

Order = Generate | Embed


@dataclasses.dataclass
class Request:
    """A request as a service runs it: its last item, once it has ended."""

    kind: RequestKind
    scope: trio.CancelScope = dataclasses.field(default_factory=trio.CancelScope)
    items: list[EmbeddingItem | GenerationItem] = dataclasses.field(default_factory=list)
    ended: trio.Event = dataclasses.field(default_factory=trio.Event)

    async def error(self) -> GenerationError:
        """How it failed."""
        await self.ended.wait()
        error = self.items[-1]
        assert isinstance(error, GenerationError)
        return error


@pytest.fixture(params=list(RequestKind), ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> RequestKind:
    assert isinstance(request.param, RequestKind)
    return request.param


async def ask(nursery: trio.Nursery, core: Core, kind: RequestKind) -> Request:
    """Start a request and wait until it has a slot."""
    request = Request(kind)

    async def run(*, task_status: trio.TaskStatus[object]) -> None:
        with request.scope:
            if kind is RequestKind.GENERATION:
                await core.generations.run(ORDER, tokens, task_status=task_status)
            else:
                await core.embeddings.run(BATCH, vectors, task_status=task_status)

    async def read() -> None:
        async for items in tokens if kind is RequestKind.GENERATION else vectors:
            request.items += items
        request.ended.set()

    tokens: Mailbox[GenerationItem] = Mailbox(1000)
    vectors: Mailbox[EmbeddingItem] = Mailbox(1000)
    await nursery.start(run)
    nursery.start_soon(read)
    return request


async def next_order(agent: ScriptedAgent) -> Order:
    """The next request that the agent is given."""
    order = await agent.next(object, lambda frame: isinstance(frame, Order))
    assert isinstance(order, Order)
    return order


async def advance(agent: ScriptedAgent, order: Order) -> None:
    """Send a part of the answer."""
    if isinstance(order, Generate):
        await agent.events(order.request_id, token("a"))
    else:
        vector = DocumentEmbedding(order.documents[0].id, b"", 1)
        await agent.embeddings(order, vector, is_done=False)


async def finish(agent: ScriptedAgent, order: Order) -> None:
    """Send the rest of the answer."""
    if isinstance(order, Generate):
        await agent.events(order.request_id, done())
    else:
        await agent.embed_all(order)


async def answer_as_the_other_kind(agent: ScriptedAgent, order: Order) -> None:
    """Send what answers no such request."""
    if isinstance(order, Generate):
        await agent.embeddings(Embed(request_id=order.request_id, documents=[]))
    else:
        await agent.events(order.request_id, token("a"))


async def join(nursery: trio.Nursery, core: Core, *names: str) -> list[ScriptedAgent]:
    """Agents that generate and embed."""

    def does_both(agent: ScriptedAgent) -> None:
        agent.model = model_description(can_embed=True)

    agents = []
    for name in names:
        agent = start_agent(nursery, core.fleet, name, agent_hello=hello(name), setup=does_both)
        await agent.send(agent.hello)
        agents.append(agent)
    await wait_all_tasks_blocked()
    return agents


async def test_lost_agent_without_successor_is_a_502_after_the_buffer_timeout(
    autojump_clock: MockClock, kind: RequestKind
) -> None:
    async with open_core(desired=STATE) as core, trio.open_nursery() as nursery:
        [agent] = await join(nursery, core, "one")
        request = await ask(nursery, core, kind)
        await next_order(agent)
        lost_at = trio.current_time()
        await agent.cut_link()
        error = await request.error()
        assert error.code == 502
        assert "no other took over" in error.description
        assert trio.current_time() - lost_at == pytest.approx(BUFFER_TIMEOUT_S)
        nursery.cancel_scope.cancel()


async def test_silent_agent_is_a_504_after_the_item_timeout_and_is_told_to_stop(
    autojump_clock: MockClock, kind: RequestKind
) -> None:
    async with open_core(desired=STATE) as core, trio.open_nursery() as nursery:
        [agent] = await join(nursery, core, "one")
        request = await ask(nursery, core, kind)
        order = await next_order(agent)
        await trio.sleep(ITEM_TIMEOUT_S - 1)
        await advance(agent, order)
        silent_since = trio.current_time()
        assert (await request.error()).code == 504
        assert trio.current_time() - silent_since == pytest.approx(ITEM_TIMEOUT_S, abs=0.01)
        assert await agent.next_cancel() == CancelRequest(order.request_id)
        nursery.cancel_scope.cancel()


async def test_request_that_every_agent_hands_back_untouched_does_not_go_on_for_ever(
    autojump_clock: MockClock, kind: RequestKind
) -> None:
    async with open_core(desired=STATE) as core, trio.open_nursery() as nursery:
        [agent] = await join(nursery, core, "first")
        request = await ask(nursery, core, kind)
        for number in range(MAX_HANDED_BACK):
            await next_order(agent)
            await agent.cut_link()
            [agent] = await join(nursery, core, str(number))
        await next_order(agent)
        assert not request.ended.is_set()
        await agent.cut_link()
        error = await request.error()
        assert error.code == 502
        assert f"{MAX_HANDED_BACK + 1} agents in a row" in error.description
        nursery.cancel_scope.cancel()


async def test_request_that_every_agent_advances_goes_on(
    autojump_clock: MockClock, kind: RequestKind
) -> None:
    async with open_core(desired=STATE) as core, trio.open_nursery() as nursery:
        [agent] = await join(nursery, core, "first")
        request = await ask(nursery, core, kind)
        for number in range(2 * MAX_HANDED_BACK):
            order = await next_order(agent)
            await advance(agent, order)
            await agent.hand_over(order.request_id)
            await wait_all_tasks_blocked()
            await agent.cut_link()
            [agent] = await join(nursery, core, str(number))
        await finish(agent, await next_order(agent))
        await request.ended.wait()
        assert not any(isinstance(item, GenerationError) for item in request.items)
        nursery.cancel_scope.cancel()


async def test_answer_of_another_kind_ends_the_link_and_another_agent_takes_over(
    autojump_clock: MockClock, kind: RequestKind
) -> None:
    async with open_core(desired=STATE) as core, trio.open_nursery() as nursery:
        [confused] = await join(nursery, core, "confused")
        request = await ask(nursery, core, kind)
        await answer_as_the_other_kind(confused, await next_order(confused))
        await confused.link_ended.wait()
        [agent] = await join(nursery, core, "sane")
        await finish(agent, await next_order(agent))
        await request.ended.wait()
        assert not any(isinstance(item, GenerationError) for item in request.items)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_waiting", [False, True])
async def test_shutting_down_ends_what_runs_or_waits_for_another_agent(
    autojump_clock: MockClock, kind: RequestKind, is_waiting: bool
) -> None:
    async with open_core(desired=STATE) as core, trio.open_nursery() as nursery:
        [agent] = await join(nursery, core, "one")
        request = await ask(nursery, core, kind)
        await next_order(agent)
        if is_waiting:
            await agent.cut_link()
            await wait_all_tasks_blocked()
        assert core.buffer.waiting.value == is_waiting
        core.takeover.shut_down()
        assert (await request.error()).code == 503
        nursery.cancel_scope.cancel()


End = Callable[[Core, Request, ScriptedAgent, Order], Awaitable[None]]


async def end_well(core: Core, request: Request, agent: ScriptedAgent, order: Order) -> None:
    await finish(agent, order)


async def be_cancelled(core: Core, request: Request, agent: ScriptedAgent, order: Order) -> None:
    request.scope.cancel()


async def stay_silent(core: Core, request: Request, agent: ScriptedAgent, order: Order) -> None:
    await trio.sleep(ITEM_TIMEOUT_S)


async def shut_down(core: Core, request: Request, agent: ScriptedAgent, order: Order) -> None:
    core.takeover.shut_down()


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (end_well, RequestOutcome.DONE),
        (be_cancelled, RequestOutcome.CANCELLED),
        (stay_silent, RequestOutcome.ITEM_TIMEOUT),
        (shut_down, RequestOutcome.SHUTTING_DOWN),
    ],
)
async def test_waits_handovers_and_one_end_are_observed(
    autojump_clock: MockClock, kind: RequestKind, end: End, outcome: RequestOutcome
) -> None:
    seen: list[Observation] = []
    async with (
        open_core(desired=STATE, observers=[seen.append]) as core,
        trio.open_nursery() as nursery,
    ):
        [one] = await join(nursery, core, "one")
        request = await ask(nursery, core, kind)
        began_at = trio.current_time()
        await next_order(one)
        await one.cut_link()
        await trio.sleep(2)
        [two] = await join(nursery, core, "two")
        await end(core, request, two, await next_order(two))
        await request.ended.wait()
        duration_s = trio.current_time() - began_at
        await wait_all_tasks_blocked()
        waits = [o for o in seen if isinstance(o, WaitEnded)]
        assert {(o.kind, o.outcome) for o in waits} == {(kind, BufferOutcome.GRANTED)}
        assert [o.waited_s for o in waits] == pytest.approx([0, 2], abs=0.01)
        assert [o for o in seen if isinstance(o, TakenOver)] == [TakenOver("one")]
        [ended] = [o for o in seen if isinstance(o, RequestEnded)]
        assert (ended.kind, ended.agent_name, ended.outcome) == (kind, "two", outcome)
        assert ended.duration_s == pytest.approx(duration_s, abs=0.01)
        nursery.cancel_scope.cancel()
