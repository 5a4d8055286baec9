"""The whole balancer: its start, its end, and what is left of a storm of clients."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio

from paddler.balancer.http_edge.errors import AddressInUse
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.serving.listeners import ListenAddress, open_listeners
from paddler.balancer.run import run
from paddler.balancer.state_database.errors import DatabaseUnparsable
from tests.support.line_clients import asking
from tests.support.running_balancer import (
    RunningBalancer,
    desired_state,
    running_balancer,
    settings_for_tests,
    until,
)
from tests.support.scripted_agents import ScriptedAgent, done, token

RAW = "/api/v1/continue_from_raw_prompt"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def unparsable(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "state.json"
    path.write_text("{ not JSON")
    yield path
    assert path.read_text() == "{ not JSON"


async def test_an_address_in_use_is_told_before_anything_else_is_looked_at(
    unparsable: Path,
) -> None:
    taken = await open_listeners(ListenAddress("--x", "127.0.0.1", 0), EdgeLimits())
    address = ListenAddress("--management-addr", "127.0.0.1", taken.addresses[0][1])
    settings = settings_for_tests(management_address=address, state_database=f"file://{unparsable}")
    n_files = open_files()
    with pytest.raises(AddressInUse, match="--management-addr"):
        await run(settings)
    assert open_files() == n_files
    taken.close()


async def test_a_state_that_does_not_parse_stops_the_start_and_is_left_untouched(
    unparsable: Path,
) -> None:
    n_files = open_files()
    with pytest.raises(DatabaseUnparsable, match=str(unparsable)):
        await run(settings_for_tests(state_database=f"file://{unparsable}"))
    assert open_files() == n_files


async def test_a_state_in_a_file_outlives_the_balancer(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/state.json"
    state = desired_state(temperature=0.25)
    async with running_balancer(desired=state, state_database=url):
        pass
    async with running_balancer(desired=None, state_database=url) as balancer:
        path = "/api/v1/balancer_desired_state"
        found = (await balancer.http.get(balancer.management_url + path)).json()
        assert found["inference_parameters"]["temperature"] == 0.25


async def test_it_listens_on_ipv6_too() -> None:
    try:
        listeners = await open_listeners(ListenAddress("--x", "::1", 0), EdgeLimits())
    except OSError:
        pytest.skip("there is no IPv6 here")
    listeners.close()
    address = ListenAddress("--inference-addr", "::1", 0)
    async with running_balancer(desired=None, inference_address=address) as balancer:
        assert balancer.inference_url.startswith("http://[::1]:")
        answer = await balancer.http.get(balancer.inference_url + "/health")
        assert answer.text == "OK"


async def test_a_cancelled_balancer_is_gone_at_once() -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(run, settings_for_tests())
            async with httpx.AsyncClient() as http:
                assert (await http.get(addresses.url("inference") + "/health")).text == "OK"
            nursery.cancel_scope.cancel()


async def test_a_storm_of_clients_that_leave_at_any_moment_leaves_nothing_behind() -> None:
    chance = random.Random(1)
    n_files, n_threads = open_files(), threading.active_count()

    async def answer_for_ever(agent: ScriptedAgent) -> None:
        while True:
            generate = await agent.next_generate()
            for _ in range(chance.randrange(4)):
                await agent.events(generate.request_id, token("x" * 100))
            if chance.random() < 0.5:
                await agent.events(generate.request_id, done())

    async def come_and_leave(balancer: RunningBalancer) -> None:
        await trio.sleep(chance.random())
        body = {"raw_prompt": "x", "max_tokens": 9}
        with trio.move_on_after(chance.random() / 4):
            async with asking(balancer.inference_url, RAW, body) as client:
                await client.rest()

    async with running_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join(slots=3)
        nursery.start_soon(answer_for_ever, agent)
        async with trio.open_nursery() as clients:
            for _ in range(150):
                clients.start_soon(come_and_leave, balancer)
        await balancer.until_slots_processing(0)
        await balancer.until_buffered(0)
        nursery.cancel_scope.cancel()
    with trio.fail_after(2):
        await until(lambda: open_files() <= n_files)
    assert threading.active_count() <= n_threads + 1  # Trio keeps a thread for a while
