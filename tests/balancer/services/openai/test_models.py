"""Which models there are, and under which names."""

from __future__ import annotations

import pytest
import trio

from paddler.balancer.services.openai.served_models import model_id
from tests.balancer.services.openai.serving import (
    answer_one,
    chat,
    ended,
    error_of,
    openai_balancer,
    text,
    url_of,
)
from tests.support.scripted_agents import ScriptedAgent, model_description


def called_qwen(agent: ScriptedAgent) -> None:
    agent.model = model_description(path="owner/repo/Qwen3.gguf@main", name="Qwen3 0.6B")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("/models/gemma-3-270m.gguf", "gemma-3-270m"),
        ("https://host/a/Model.Q4_K_M.GGUF?download=true", "Model.Q4_K_M"),
        ("owner/repo/sub/file.gguf@main", "file"),
        ("owner/repo/file-00001-of-00003.gguf@abc", "file"),
        ("/models/with@sign.gguf", "with@sign"),
        ("/models/plain", "plain"),
    ],
)
def test_the_id_is_the_files_name(reference: str, expected: str) -> None:
    assert model_id(reference) == expected


async def test_the_list_is_empty_while_nothing_is_served() -> None:
    async with openai_balancer() as balancer:
        answer = await balancer.http.get(url_of(balancer) + "/v1/models")
        assert answer.json() == {"object": "list", "data": []}
        await balancer.join()
        listed = (await balancer.http.get(url_of(balancer) + "/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["model"]
        assert listed[0]["object"] == "model"
        assert listed[0]["owned_by"] == "paddler"
        assert isinstance(listed[0]["created"], int)


async def test_a_model_is_found_by_any_of_its_names_and_else_not() -> None:
    async with openai_balancer() as balancer:
        await balancer.join(setup=called_qwen)
        for name in ("Qwen3", "qwen3.gguf", "owner/repo", "owner/repo/Qwen3.gguf", "Qwen3 0.6B"):
            answer = await balancer.http.get(f"{url_of(balancer)}/v1/models/{name}")
            assert answer.status_code == 200, name
            assert answer.json()["id"] == "Qwen3"
        missing = await balancer.http.get(f"{url_of(balancer)}/v1/models/gpt-4")
        assert missing.status_code == 404
        assert error_of(missing)["code"] == "model_not_found"


async def test_a_request_for_another_model_is_refused_and_says_what_is_served() -> None:
    async with openai_balancer() as balancer:
        await balancer.join()
        answer = await chat(balancer, model="gpt-4")
        assert answer.status_code == 404
        error = error_of(answer)
        assert error["code"] == "model_not_found"
        assert error["param"] == "model"
        assert "`model`" in str(error["message"])


async def test_a_request_without_a_model_gets_the_one_that_is_served() -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(answer_one, agent, text("x"), ended())
        assert (await chat(balancer)).json()["model"] == "model"


async def test_any_model_may_be_asked_for_where_the_operator_says_so() -> None:
    settings = {"openai_accepts_any_model": True}
    async with openai_balancer(**settings) as balancer, trio.open_nursery() as nursery:
        agent = await balancer.join()
        nursery.start_soon(answer_one, agent, text("x"), ended())
        answer = await chat(balancer, model="gpt-4")
        assert answer.status_code == 200
        assert answer.json()["model"] == "model"


async def test_while_nothing_is_served_a_request_waits_whatever_it_names() -> None:
    async with openai_balancer() as balancer, trio.open_nursery() as nursery:

        async def join_late() -> None:
            await balancer.until_buffered(1)
            agent = await balancer.join()
            await answer_one(agent, text("x"), ended())

        nursery.start_soon(join_late)
        assert (await chat(balancer, model="later")).status_code == 200


async def test_health_and_readiness_are_two_things() -> None:
    async with openai_balancer() as balancer:
        assert (await balancer.http.get(url_of(balancer) + "/health")).text == "OK"
        assert (await balancer.http.get(url_of(balancer) + "/ready")).status_code == 503
        await balancer.join()
        assert (await balancer.http.get(url_of(balancer) + "/ready")).status_code == 200
