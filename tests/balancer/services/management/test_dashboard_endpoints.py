"""The dashboard's endpoints, with scripted agents behind real links."""

from __future__ import annotations

import json

from tests.support.line_clients import LineClient, asking
from tests.support.running_balancer import running_balancer

DASHBOARD = "/api/v1/dashboard"


async def test_the_dashboard_shows_buffer_slots_and_agents() -> None:
    async with running_balancer(max_buffered_requests=7) as balancer:
        await balancer.join("a1", slots=3)
        shown = (await balancer.http.get(balancer.management_url + DASHBOARD)).json()
        assert shown["buffer"] == {"waiting": 0, "capacity": 7, "timeout_ms": 10000}
        assert (shown["slots_total"], shown["slots_processing"]) == (3, 0)
        assert shown["rollout"] == {
            "applied": 1,
            "applying": 0,
            "failed": 0,
            "kept_back": 0,
            "waiting": 0,
        }
        [agent] = shown["agents"]
        assert (agent["name"], agent["model"]["path"]) == ("a1", "/model.gguf")


async def next_event(client: LineClient) -> list[str]:
    """The ids of the agents in the next event."""
    while not (line := await client.line()).startswith("data: "):
        assert not line or line.startswith(":"), line
    return [agent["id"] for agent in json.loads(line.removeprefix("data: "))["agents"]]


async def test_the_stream_follows_an_agent_that_joins() -> None:
    async with (
        running_balancer() as balancer,
        asking(balancer.management_url, DASHBOARD + "/stream", {}, method="GET") as client,
    ):
        assert await next_event(client) == []
        await balancer.join("a1")
        while not (agents := await next_event(client)):
            pass
        assert agents == ["a1"]


async def test_history_and_dashboard_speak_of_the_same_run() -> None:
    async with running_balancer() as balancer:
        history = (await balancer.http.get(f"{balancer.management_url}{DASHBOARD}/history")).json()
        shown = (await balancer.http.get(balancer.management_url + DASHBOARD)).json()
        assert history["instance"] == shown["instance"]
        assert (history["interval_ms"], history["capacity"]) == (2000, 450)


async def test_the_model_of_an_unknown_agent_is_404() -> None:
    async with running_balancer() as balancer:
        await balancer.join("a1")
        url = balancer.management_url + "/api/v1/agent/{}/model"
        assert (await balancer.http.get(url.format("a1"))).json()["path"] == "/model.gguf"
        assert (await balancer.http.get(url.format("nobody"))).status_code == 404
