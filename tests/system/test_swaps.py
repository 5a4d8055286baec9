"""Another state for a fleet of real agents: rolled out, or stopped at the first ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
import trio

from paddler.messages.state import DesiredState, ModelReference
from tests.support.real_programs import (
    LOAD_TIMEOUT_S,
    Programs,
    RealBalancer,
    gemma_state,
    programs,
    wait_for,
)

pytestmark = pytest.mark.model

RAW = "/api/v1/continue_from_raw_prompt"
LIMIT_S = 240.0


@pytest.fixture
def started() -> Iterator[Programs]:
    with programs() as running:
        yield running


def fleet_of_two(started: Programs, state: DesiredState) -> RealBalancer:
    """Two agents of one slot each that serve `state`; requests in flight have a minute to end."""
    balancer = started.balancer(
        "--drain-timeout=60000", "--buffered-request-timeout=100000", "--max-buffered-requests=100"
    )
    for name in ("one", "two"):
        started.agent(balancer.management_address, slots=1, name=name)
    balancer.put_state(state)
    balancer.wait_for_slots(2)
    return balancer


def served(balancer: RealBalancer, field: str) -> dict[str, object]:
    return {str(agent["name"]): agent[field] for agent in balancer.agents()}


async def test_a_fleet_swaps_one_after_the_other_and_loses_no_request(
    started: Programs, real_model_path: Path
) -> None:
    state = gemma_state(real_model_path)
    balancer = fleet_of_two(started, state)
    n_ready: list[int] = []
    outcomes: list[str] = []
    swapped = trio.Event()

    async def ask_until_swapped(client: httpx.AsyncClient) -> None:
        while not swapped.is_set():
            body = {"raw_prompt": "Once upon a time", "max_tokens": 24}
            answer = await client.post(balancer.inference_url + RAW, json=body)
            outcomes.append(answer.text.splitlines()[-1])

    async def watch(client: httpx.AsyncClient) -> None:
        """Until both agents have been away once and serve again."""
        been_away: set[str] = set()
        while len(been_away) < 2 or n_ready[-1] < 2:
            snapshot = await client.get(balancer.management_url + "/api/v1/agents")
            agents = snapshot.json()["agents"]
            been_away.update(each["name"] for each in agents if not each["slots_total"])
            n_ready.append(sum(each["slots_total"] for each in agents))
        swapped.set()

    with trio.fail_after(LIMIT_S):
        async with (
            httpx.AsyncClient(timeout=LIMIT_S, trust_env=False) as client,
            trio.open_nursery() as nursery,
        ):
            for _ in range(3):
                nursery.start_soon(ask_until_swapped, client)
            parameters = msgspec.structs.replace(state.inference_parameters, context_size=512)
            changed = msgspec.structs.replace(state, inference_parameters=parameters)
            await trio.to_thread.run_sync(balancer.put_state, changed)
            await watch(client)
    assert min(n_ready) == 1, "somebody serves at any time"
    assert outcomes
    assert all('"Done"' in last for last in outcomes), outcomes


def test_a_state_that_fails_stops_at_the_first_agent_until_it_is_mended(
    started: Programs, real_model_path: Path, tmp_path: Path
) -> None:
    balancer = fleet_of_two(started, gemma_state(real_model_path))
    missing = tmp_path / "later.gguf"
    state = gemma_state(real_model_path)
    balancer.put_state(
        msgspec.structs.replace(state, model=ModelReference(LocalToAgent=str(missing)))
    )
    expected = [{"ModelFileDoesNotExist": {"model_path": str(missing)}}]
    wait_for(
        lambda: all(issues == expected for issues in served(balancer, "issues").values()),
        LOAD_TIMEOUT_S,
        "the issue at both agents, the failed one and the one that was spared",
    )
    assert sorted(map(str, served(balancer, "model_path").values())) == sorted(
        [str(real_model_path)] * 2
    ), "the failed one could not even begin to drain: both still have the old model"
    answer = httpx.post(
        balancer.inference_url + RAW,
        json={"raw_prompt": "Hello", "max_tokens": 2},
        timeout=LIMIT_S,
        trust_env=False,
    )
    assert '"Done"' in answer.text.splitlines()[-1], "the spared agent serves"
    assert json.loads(answer.text.splitlines()[0])["Response"]["generated_by"] in ("one", "two")
    missing.symlink_to(real_model_path)
    wait_for(
        lambda: (
            set(served(balancer, "model_path").values()) == {str(missing)}
            and balancer.total("slots_total") == 2
        ),
        LOAD_TIMEOUT_S,
        "the rollout going on by itself",
    )
    assert list(served(balancer, "issues").values()) == [[], []]
