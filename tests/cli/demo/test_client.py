"""The demo's client reads streams as the contract has them."""

from __future__ import annotations

import contextlib
import json

import httpx
import pytest

from paddler.cli.demo.client import DemoFailed, Finished, Text, converse, wait_until_applied

USAGE = {
    "prompt_tokens": 7,
    "cached_prompt_tokens": 0,
    "input_image_tokens": 0,
    "input_audio_tokens": 0,
    "content_tokens": 2,
    "reasoning_tokens": 1,
    "tool_call_tokens": 0,
    "undeterminable_tokens": 0,
}


def result(payload: dict[str, object]) -> dict[str, object]:
    response = {"GeneratedToken": payload}
    return {"Response": {"generated_by": "a", "request_id": "r", "response": response}}


def answering(status: int, body: str) -> httpx.AsyncClient:
    """A client whose every request gets this answer."""
    transport = httpx.MockTransport(lambda request: httpx.Response(status, text=body))
    return httpx.AsyncClient(transport=transport)


async def read_all(client: httpx.AsyncClient) -> list[Text | Finished]:
    async with contextlib.aclosing(converse(client, "http://balancer.test", {})) as items:
        return [item async for item in items]


async def test_an_answer_is_its_texts_and_its_counts() -> None:
    items = [result({"ReasoningToken": "Hm. "}), result({"ContentToken": "Hi!"})]
    items.append(result({"Done": {"usage": USAGE}}))
    async with answering(200, "".join(json.dumps(item) + "\n" for item in items)) as client:
        assert await read_all(client) == [
            Text("Hm. "),
            Text("Hi!"),
            Finished(prompt_tokens=7, generated_tokens=3),
        ]


@pytest.mark.parametrize(
    ("status", "item", "words"),
    [
        (503, {}, "503"),
        (
            200,
            {"Error": {"request_id": "r", "error": {"code": 502, "description": "lost"}}},
            "lost",
        ),
        (200, result({"ChatTemplateError": "no template"}), "no template"),
    ],
    ids=["refused", "failed on the way", "failed in the model"],
)
async def test_a_failure_is_told(status: int, item: dict[str, object], words: str) -> None:
    async with answering(status, json.dumps(item) + "\n") as client:
        with pytest.raises(DemoFailed, match=words):
            await read_all(client)


async def test_an_agents_issues_end_the_wait() -> None:
    agent = {
        "issues": [{"ModelCannotBeLoaded": {"model_path": "/m.gguf"}}],
        "state_application_status": "AttemptedAndRetrying",
        "model_path": None,
    }
    async with answering(200, json.dumps({"agents": [agent]})) as client:
        with pytest.raises(DemoFailed, match="ModelCannotBeLoaded"):
            await wait_until_applied(client, "http://balancer.test", "/m.gguf")
