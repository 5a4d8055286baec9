"""Conversations find their KV cache again: over every door, in the slot or in host memory."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio
from trio_websocket import wrap_client_stream

from tests.support.real_programs import Programs, RealBalancer, gemma_state, programs, wait_for

pytestmark = pytest.mark.model

LIMIT_S = 240.0
CONVERSATION = "/api/v1/continue_from_conversation_history"


@dataclasses.dataclass
class Turn:
    """What an answer says about itself."""

    text: str
    prompt_tokens: int
    cached_tokens: int
    agent: str | None = None
    timings: dict[str, float] | None = None


@dataclasses.dataclass
class Talk:
    """A conversation that nothing names."""

    name: str
    messages: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def ask(self) -> list[dict[str, str]]:
        """Say something more; the whole history."""
        number = len(self.messages)
        text = f"{self.name} says number {number}: " + f"{self.name} likes {number} pears. " * 12
        self.messages.append({"role": "user", "content": text})
        return self.messages

    def hear(self, turn: Turn) -> Turn:
        """Take the answer into the history."""
        self.messages.append({"role": "assistant", "content": turn.text.strip() or "..."})
        return turn

    def body(self) -> dict[str, object]:
        return {
            "conversation_history": self.ask(),
            "add_generation_prompt": True,
            "enable_thinking": False,
            "max_tokens": 6,
            "include_timings": True,
            "sampling": {"temperature": 0.0},
        }


@pytest.fixture(scope="module")
def fleet(real_model_path: Path) -> Iterator[tuple[Programs, RealBalancer]]:
    """Two agents of one slot each: a third conversation has to leave its slot."""
    with programs() as running:
        balancer = running.balancer(
            "--compat-openai-addr=127.0.0.1:0",
            "--buffered-request-timeout=100000",
            "--log-level=debug",
        )
        for name in ("one", "two"):
            running.agent(balancer.management_address, slots=1, name=name)
        balancer.put_state(gemma_state(real_model_path))
        balancer.wait_for_slots(2)
        yield running, balancer


def turn_of(lines: list[str]) -> Turn:
    envelopes = [json.loads(line)["Response"] for line in lines]
    tokens = [envelope["response"]["GeneratedToken"] for envelope in envelopes]
    done = tokens[-1]["Done"]
    return Turn(
        "".join(token.get("ContentToken", "") for token in tokens),
        done["usage"]["prompt_tokens"],
        done["usage"]["cached_prompt_tokens"],
        envelopes[-1]["generated_by"],
        done["timings"],
    )


def over_http(balancer: RealBalancer, talk: Talk) -> Turn:
    answer = httpx.post(
        f"{balancer.inference_url}{CONVERSATION}",
        json=talk.body(),
        timeout=LIMIT_S,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return talk.hear(turn_of(answer.text.splitlines()))


async def over_websocket(balancer: RealBalancer, talk: Talk) -> Turn:
    frame = {"Request": {"id": "r", "request": {"ContinueFromConversationHistory": talk.body()}}}
    host, _, port = balancer.inference_url.removeprefix("http://").partition(":")
    lines: list[str] = []
    async with (
        await trio.open_tcp_stream(host, int(port)) as stream,
        trio.open_nursery() as nursery,
    ):
        socket = await wrap_client_stream(nursery, stream, host, "/api/v1/inference_socket")
        await socket.send_message(json.dumps(frame))
        while not lines or "Done" not in lines[-1]:
            message = await socket.get_message()
            lines.append(message if isinstance(message, str) else message.decode())
        await socket.aclose()
        nursery.cancel_scope.cancel()
    return talk.hear(turn_of(lines))


def over_openai(balancer: RealBalancer, talk: Talk) -> Turn:
    answer = httpx.post(
        f"{balancer.url('openai')}/v1/chat/completions",
        json={"messages": talk.ask(), "max_tokens": 6, "temperature": 0},
        timeout=LIMIT_S,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    said = answer.json()
    usage = said["usage"]
    return talk.hear(
        Turn(
            said["choices"][0]["message"]["content"] or "",
            usage["prompt_tokens"],
            usage["prompt_tokens_details"]["cached_tokens"],
        )
    )


def metric(balancer: RealBalancer, pattern: str) -> float:
    """The sum of the samples that fit."""
    text = httpx.get(f"{balancer.management_url}/metrics", timeout=30, trust_env=False).text
    return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))


async def test_every_turn_finds_what_the_turn_before_left(
    fleet: tuple[Programs, RealBalancer],
) -> None:
    _, balancer = fleet
    ann, bob, eve = Talk("Ann"), Talk("Bob"), Talk("Eve")
    with trio.fail_after(LIMIT_S):
        firsts = [over_http(balancer, ann), over_openai(balancer, bob), over_http(balancer, eve)]
        seconds = [
            await over_websocket(balancer, ann),
            over_openai(balancer, bob),
            over_http(balancer, eve),
        ]
    for first, second in zip(firsts, seconds, strict=True):
        assert first.cached_tokens < 20
        # All but the end of the answer, which may be rendered in other tokens.
        assert second.cached_tokens >= first.prompt_tokens - 1
        assert second.prompt_tokens > second.cached_tokens
        assert second.agent == first.agent
        if second.timings is not None:
            assert second.timings["cached_prompt_tokens"] == second.cached_tokens
            assert second.timings["ttft_ms"] > 0
    began = re.findall(r"request_began .*", balancer.log)
    assert len(began) == 6
    assert any("why=cached" in line and "cached_in=host" in line for line in began)
    kept = sum(turn.cached_tokens for turn in (*firsts, *seconds))
    assert metric(balancer, r"paddler_cached_prompt_tokens_total\{.*\}") == kept

    def returned_from_host() -> bool:
        return metric(balancer, r'paddler_prompts_total\{.*cached_in="host".*\}') >= 1

    # Agents report a few times a second.
    await trio.to_thread.run_sync(wait_for, returned_from_host, 30, "the agents' reports")
    assert metric(balancer, r"paddler_prompt_cache_bytes\{.*\}") > 0
