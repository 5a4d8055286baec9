"""The management service, with scripted agents behind real links."""

from __future__ import annotations

import json

import msgspec
import pytest
import trio

from paddler.messages.agents import ApplicationStatus, ModelIssue
from paddler.messages.link import AgentStatus, Download, Heartbeat
from paddler.messages.state import ChatTemplate, DesiredState, InferenceParameters
from tests.support.line_clients import LineClient, asking
from tests.support.running_balancer import DESIRED, RunningBalancer, running_balancer, until
from tests.support.scripted_agents import ScriptedAgent, hello, model_description

STATE = "/api/v1/balancer_desired_state"
PARAMETERS = msgspec.to_builtins(InferenceParameters())


async def get(balancer: RunningBalancer, path: str) -> object:
    answer = await balancer.http.get(balancer.management_url + path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def serves_with_override(agent: ScriptedAgent) -> None:
    agent.model = model_description(
        metadata={"general.name": "Gemma"},
        chat_template="{{ messages }}",
        uses_chat_template_override=True,
    )


async def test_an_agent_is_shown_with_exactly_the_contracts_fields() -> None:
    async with running_balancer() as balancer:
        assert await get(balancer, "/api/v1/agents") == {"agents": []}
        await balancer.join("a1", slots=3)
        assert await get(balancer, "/api/v1/agents") == {
            "agents": [
                {
                    "id": "a1",
                    "name": "a1",
                    "desired_slots_total": 3,
                    "slots_total": 3,
                    "slots_processing": 0,
                    "model_path": "/model.gguf",
                    "download_current": 0,
                    "download_total": 0,
                    "download_filename": None,
                    "download_indeterminate": False,
                    "issues": [],
                    "state_application_status": "Applied",
                    "uses_chat_template_override": False,
                }
            ]
        }


async def test_downloads_and_issues_are_shown_and_disappear() -> None:
    def waits(agent: ScriptedAgent) -> None:
        agent.applies = False

    async with running_balancer() as balancer:
        agent = await balancer.join(setup=waits, is_ready=False)
        issue = ModelIssue("ModelFileDoesNotExist", "/model.gguf")
        await agent.report(ApplicationStatus.ATTEMPTED_AND_RETRYING, issues=[issue])
        await balancer.until_agent(
            "a1",
            lambda shown: (
                shown["issues"] == [{"ModelFileDoesNotExist": {"model_path": "/model.gguf"}}]
            ),
        )
        download = Download(filename="m.gguf", current_bytes=5, total_bytes=10, indeterminate=False)
        await agent.send(
            msgspec.structs.replace(agent_status(ApplicationStatus.FRESH), download=download)
        )
        await balancer.until_agent(
            "a1",
            lambda shown: shown["download_current"] == 5 and shown["issues"] == [],
        )


def agent_status(status: ApplicationStatus) -> AgentStatus:
    return AgentStatus(
        status=status, applied_version=None, slots_total=0, model=None, download=None, issues=[]
    )


async def next_event(client: LineClient) -> object:
    while True:
        line = await client.line()
        assert line is not None
        if line.startswith("data: "):
            return json.loads(line.removeprefix("data: "))


async def test_the_agents_stream_tells_the_present_and_every_change() -> None:
    async with (
        running_balancer() as balancer,
        asking(balancer.management_url, "/api/v1/agents/stream", b"", "GET") as client,
    ):
        await client.read_head()
        assert client.headers["content-type"] == "text/event-stream"
        assert await next_event(client) == {"agents": []}
        agent = await balancer.join("a1")
        while (await next_event(client)) != await get(balancer, "/api/v1/agents"):
            pass
        await agent.vanish()
        while (await next_event(client)) != {"agents": []}:
            pass


async def test_the_buffered_requests_stream_tells_the_present_and_every_change() -> None:
    async with (
        running_balancer() as balancer,
        asking(balancer.management_url, "/api/v1/buffered_requests/stream", b"", "GET") as client,
    ):
        assert await next_event(client) == {"buffered_requests_current": 0}
        async with asking(
            balancer.inference_url,
            "/api/v1/continue_from_raw_prompt",
            {"raw_prompt": "x", "max_tokens": 1},
        ):
            assert await next_event(client) == {"buffered_requests_current": 1}
            assert await get(balancer, "/api/v1/buffered_requests") == {
                "buffered_requests_current": 1
            }
        assert await next_event(client) == {"buffered_requests_current": 0}


async def test_event_streams_end_when_the_balancer_stops() -> None:
    async with (
        running_balancer() as balancer,
        asking(balancer.management_url, "/api/v1/agents/stream", b"", "GET") as client,
    ):
        await next_event(client)
        balancer.stop.set()
        with trio.fail_after(3):
            assert not [line for line in await client.rest() if line]
            await balancer.stopped.wait()


async def test_a_desired_state_is_kept_told_to_agents_and_resolved() -> None:
    desired = msgspec.structs.replace(
        DESIRED, chat_template_override=ChatTemplate("{{ x }}"), use_chat_template_override=False
    )
    async with running_balancer(desired=None) as balancer:
        assert await get(balancer, STATE) == msgspec.to_builtins(DesiredState())
        agent = await balancer.join(is_ready=False)
        await balancer.put_state(desired)
        assert await get(balancer, STATE) == msgspec.to_builtins(desired)
        applicable = await get(balancer, "/api/v1/balancer_applicable_state")
        assert applicable == {
            "chat_template_override": None,
            "inference_parameters": PARAMETERS,
            "model": {"LocalToAgent": "/model.gguf"},
            "multimodal_projection": "None",
        }
        await balancer.until_agent("a1", lambda shown: shown["slots_total"] == 1)
        assert agent.hello.slots == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", ["JSON"]),
        ({"model": "Some"}, ["model"]),
        ({"model": {"Url": {"url": "http://x"}, "LocalToAgent": "/x"}}, ["exactly one", "model"]),
        ({"model": "None"}, ["inference_parameters"]),
        ({"surprise": 1}, ["surprise", "allowed are", "use_chat_template_override"]),
        (
            {"inference_parameters": {**PARAMETERS, "embedding_batch_size": 0}},
            ["inference_parameters.embedding_batch_size"],
        ),
        (
            {"inference_parameters": {**PARAMETERS, "k_cache_dtype": "F99"}},
            ["inference_parameters.k_cache_dtype"],
        ),
        ({"use_chat_template_override": "yes"}, ["use_chat_template_override"]),
    ],
)
async def test_a_state_outside_the_contract_gets_400_and_the_place(
    body: object, words: list[str]
) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    async with running_balancer() as balancer:
        answer = await balancer.http.put(balancer.management_url + STATE, content=content)
        assert answer.status_code == 400
        for word in words:
            assert word in answer.text
        assert await get(balancer, STATE) == msgspec.to_builtins(DESIRED)


async def test_an_agents_model_and_template_can_be_asked_for() -> None:
    async with running_balancer() as balancer:
        await balancer.join("with", setup=serves_with_override)
        await balancer.join("without")
        assert await get(balancer, "/api/v1/agent/with/model_metadata") == {
            "metadata": {"general.name": "Gemma"}
        }
        assert await get(balancer, "/api/v1/agent/with/chat_template_override") == {
            "content": "{{ messages }}"
        }
        assert await get(balancer, "/api/v1/agent/without/chat_template_override") is None


async def test_an_agent_without_a_model_has_null_for_both() -> None:
    async with running_balancer(desired=None) as balancer:
        await balancer.join("a1", is_ready=False, setup=serves_nothing)
        await balancer.until_agent("a1", lambda _: True)
        assert await get(balancer, "/api/v1/agent/a1/model_metadata") is None
        assert await get(balancer, "/api/v1/agent/a1/chat_template_override") is None


def serves_nothing(agent: ScriptedAgent) -> None:
    agent.applies = False


@pytest.mark.parametrize("what", ["model_metadata", "chat_template_override"])
async def test_an_unknown_agent_gets_404(what: str) -> None:
    async with running_balancer() as balancer:
        answer = await balancer.http.get(f"{balancer.management_url}/api/v1/agent/nobody/{what}")
        assert answer.status_code == 404
        assert "nobody" in answer.text


async def test_an_agent_that_connects_again_replaces_its_old_link() -> None:
    async with running_balancer() as balancer:
        first = await balancer.join("a1")
        await balancer.join("a1", slots=2)
        assert [shown["slots_total"] for shown in await balancer.agents()] == [2]
        with trio.fail_after(3):
            await until(lambda: first.channel.close_reason)
        assert first.channel.close_reason == "the agent connected again"


async def test_agents_of_the_same_name_are_two_agents() -> None:
    async with running_balancer() as balancer:
        for agent_id in ("a1", "a2"):
            await balancer.join(agent_id, agent_hello=hello("twin"))
        shown = await balancer.agents()
        assert [(agent["id"], agent["name"]) for agent in shown] == [
            ("a1", "twin"),
            ("a2", "twin"),
        ]


async def test_an_agent_of_another_protocol_version_is_told_what_to_do() -> None:
    async with running_balancer() as balancer:
        agent = await balancer.join(agent_hello=hello("old", protocol_version=99), is_ready=False)
        refusal = await agent.next_refusal()
        assert "version 99" in refusal.reason
        assert "install the same release" in refusal.reason
        assert await balancer.agents() == []


async def test_an_agent_that_stops_reading_holds_up_nobody() -> None:
    async with running_balancer() as balancer:
        stalled = await balancer.connect("management")
        await stalled.send_all(
            b"GET /api/v1/agent_socket/stalled HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        agent = await balancer.join("a1")
        with trio.fail_after(2):
            await agent.send(Heartbeat())
            assert [shown["id"] for shown in await balancer.agents()] == ["a1"]


async def test_a_stopping_balancer_tells_its_agents() -> None:
    async with running_balancer() as balancer:
        agent = await balancer.join("a1")
        balancer.stop.set()
        with trio.fail_after(5):
            await balancer.stopped.wait()
            await until(lambda: agent.channel.close_reason)
        assert "closed the link" in str(agent.channel.close_reason)


async def test_metrics_have_the_contracts_gauges_and_what_requests_did() -> None:
    async with running_balancer(metrics_prefix="lm_") as balancer:
        await balancer.join("a1", slots=2)
        answer = await balancer.http.get(balancer.management_url + "/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = answer.text.splitlines()
        for line in ("lm_slots_processing 0.0", "lm_slots_total 2.0", "lm_requests_buffered 0.0"):
            assert line in lines
