"""Multi-turn conversations, the same for every system they are held with.

Each conversation is a person: asks, reads the answer, thinks, asks again with
everything said before. All of them share a system prompt. Pauses and texts
follow from the seed; answers are greedy, so that histories are nearly the same
everywhere.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Protocol

import h11
import trio

from benchmarks.clients import (
    CONVERSATION_PATH,
    RequestFailed,
    StreamTimes,
    openai_chat,
    paddler_stream,
)
from benchmarks.prompts import words

Messages = list[dict[str, str]]


class Chat(Protocol):
    """Something to hold conversations with."""

    async def say(self, messages: Messages, max_tokens: int) -> StreamTimes:
        """The next answer."""


@dataclasses.dataclass(frozen=True)
class OpenAiChat:
    """A server with OpenAI's API."""

    url: str

    async def say(self, messages: Messages, max_tokens: int) -> StreamTimes:
        """Stream a chat completion."""
        body = {
            "model": "model",
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0.0,
        }
        return await openai_chat(self.url, body)


@dataclasses.dataclass(frozen=True)
class PaddlerChat:
    """Our inference service; no hint says which conversation a request belongs to."""

    url: str

    async def say(self, messages: Messages, max_tokens: int) -> StreamTimes:
        """Continue from a conversation history."""
        body = {
            "conversation_history": messages,
            "add_generation_prompt": True,
            "enable_thinking": False,
            "max_tokens": max_tokens,
            "sampling": {
                "temperature": 0.0,
                "penalty_last_n": 0,
                "penalty_repeat": 1.0,
                "penalty_presence": 0.0,
            },
        }
        return await paddler_stream(self.url, CONVERSATION_PATH, body)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traffic:
    """How many conversations, and what they are like."""

    n_conversations: int = 24
    n_turns: int = 6
    system_words: int = 295
    user_words: int = 40
    max_tokens: int = 48
    think_s: float = 10.0


@dataclasses.dataclass
class TrafficResult:
    """Every turn's answer, by the turn's number; times in seconds."""

    turns: list[list[StreamTimes]]
    n_failed: int = 0
    failures: set[str] = dataclasses.field(default_factory=set)
    took_s: float = 0.0

    @property
    def answers(self) -> list[StreamTimes]:
        """Of all turns."""
        return [answer for turn in self.turns for answer in turn]

    def ttfts_s(self, *, first_turn: int = 0) -> list[float]:
        """Of answers that have tokens, from a turn on."""
        answers = [answer for turn in self.turns[first_turn:] for answer in turn]
        return [answer.ttft_s for answer in answers if answer.arrivals]

    @property
    def cached_share(self) -> float:
        """Of all prompt tokens."""
        n_prompt = sum(answer.prompt_tokens for answer in self.answers)
        return sum(answer.cached_tokens for answer in self.answers) / max(1, n_prompt)

    @property
    def tokens_per_s(self) -> float:
        """Generated."""
        return sum(answer.n_tokens for answer in self.answers) / self.took_s


async def hold_conversations(
    chat: Chat, traffic: Traffic, note: Callable[[str], None]
) -> TrafficResult:
    """Hold all conversations; one that fails is given up and counted."""
    result = TrafficResult([[] for _ in range(traffic.n_turns)])
    system = words(traffic.system_words, "system")
    n_done = 0

    async def converse(number: int) -> None:
        nonlocal n_done
        source = random.Random(number)
        messages: Messages = [{"role": "system", "content": system}]
        await trio.sleep(source.uniform(0.0, traffic.think_s))
        for turn in range(traffic.n_turns):
            question = words(traffic.user_words, f"{number} {turn}")
            messages.append({"role": "user", "content": question})
            try:
                answer = await chat.say(messages, traffic.max_tokens)
            except (OSError, RequestFailed, trio.BrokenResourceError, h11.ProtocolError) as error:
                result.n_failed += 1
                result.failures.add(repr(error))
                break
            result.turns[turn].append(answer)
            messages.append({"role": "assistant", "content": answer.text.strip() or "..."})
            await trio.sleep(traffic.think_s * source.uniform(0.5, 1.5))
        n_done += 1
        if n_done % 8 == 0:
            note(f"{n_done} of {traffic.n_conversations} conversations are over")

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(traffic.n_conversations):
            nursery.start_soon(converse, number)
    result.took_s = trio.current_time() - began
    return result
