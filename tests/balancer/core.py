"""The balancer's core put together for tests, as `balancer/run.py` does it."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import AsyncGenerator

import trio

from paddler.balancer.deployments.desired_state import DesiredStates
from paddler.balancer.dispatch.buffer import Buffer
from paddler.balancer.dispatch.pool import Router
from paddler.balancer.dispatch.routing.cost_router import LeastBusyRouter
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.requests.embedding_batches import Embeddings
from paddler.balancer.requests.generations import Generations
from paddler.balancer.requests.observations import NullObserver, Observer
from paddler.balancer.state_database.memory import MemoryStateDatabase
from paddler.messages.state import DesiredState, InferenceParameters, ModelReference

ITEM_TIMEOUT_S = 30.0
BUFFER_TIMEOUT_S = 10.0


def desired_state(path: str = "/model.gguf", **parameters: object) -> DesiredState:
    return DesiredState(
        model=ModelReference(LocalToAgent=path),
        inference_parameters=InferenceParameters(**parameters),  # type: ignore[arg-type]  # a test's
    )


@dataclasses.dataclass
class Core:
    buffer: Buffer
    fleet: Fleet
    states: DesiredStates
    generations: Generations
    embeddings: Embeddings
    database: MemoryStateDatabase


@contextlib.asynccontextmanager
async def open_core(
    *,
    max_waiting: int = 30,
    max_agents: int = 100,
    desired: DesiredState | None = None,
    observer: Observer | None = None,
    router: Router | None = None,
) -> AsyncGenerator[Core, None]:
    """A core whose rollout runs; no agents."""
    buffer = Buffer(
        router=router or LeastBusyRouter(random.Random(0)),
        max_waiting=max_waiting,
        timeout_s=BUFFER_TIMEOUT_S,
    )
    fleet = Fleet(buffer, max_agents=max_agents)
    database = MemoryStateDatabase()
    await database.save(desired or desired_state())
    states = DesiredStates(fleet=fleet, database=database)
    await states.load()
    watcher = observer or NullObserver()
    generations = Generations(
        fleet=fleet, buffer=buffer, item_timeout_s=ITEM_TIMEOUT_S, observer=watcher
    )
    embeddings = Embeddings(
        fleet=fleet,
        buffer=buffer,
        states=states,
        item_timeout_s=ITEM_TIMEOUT_S,
        observer=watcher,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(states.run)
        yield Core(buffer, fleet, states, generations, embeddings, database)
        nursery.cancel_scope.cancel()
