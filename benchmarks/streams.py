"""Several streams at once against one target, and what they come to.

A target answers a prompt with a number of tokens. Targets that are compared
take turns (A B, then B A), so that whatever else the machine does hits both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from benchmarks.clients import (
    RAW_PROMPT_PATH,
    StreamTimes,
    llama_completion,
    paddler_stream,
    started,
)
from benchmarks.model import END_TOKENS
from benchmarks.prompts import words
from benchmarks.tables import markdown, median, milliseconds, percentile, ratio
from paddler.engine.engine import Engine
from paddler.engine.requests import Ended, EngineRequest, EngineSampling, Started, Tokens

SAMPLING: dict[str, float] = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
"""Of every target; penalties are off."""


class Target(Protocol):
    """Something that generates."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    async def answer(
        self, prompt: str, n_tokens: int, seed: int, *, times: StreamTimes | None = None
    ) -> StreamTimes:
        """Generate exactly `n_tokens` tokens after `prompt`, nothing of it cached.

        Given `times`, it is filled as the answer comes, and returned.
        """


@dataclasses.dataclass(frozen=True)
class EngineTarget:
    """Our engine, in this process."""

    engine: Engine
    name: str = "paddler engine"

    async def answer(
        self, prompt: str, n_tokens: int, seed: int, *, times: StreamTimes | None = None
    ) -> StreamTimes:
        """Tokenize and generate, past end tokens."""
        times = started(times)
        request = EngineRequest(
            prompt_tokens=await self.engine.tokenize(prompt),
            max_tokens=n_tokens,
            sampling=EngineSampling(
                temperature=SAMPLING["temperature"],
                top_k=int(SAMPLING["top_k"]),
                top_p=SAMPLING["top_p"],
                min_p=SAMPLING["min_p"],
                seed=seed,
            ),
            ignore_end=True,
        )
        async with self.engine.start(request) as generation:
            async for batch in generation.batches():
                for event in batch:
                    if isinstance(event, Tokens):
                        times.n_tokens += len(event.token_ids)
                        if event.text:
                            times.piece(event.text)
                    elif isinstance(event, Started):
                        times.prompt_tokens = event.n_prompt_tokens
                        times.cached_tokens = event.n_cached_tokens
                    elif isinstance(event, Ended):
                        times.ended_at = trio.current_time()
        return times


@dataclasses.dataclass(frozen=True)
class LlamaServerTarget:
    """llama-server's own endpoint, streaming over the loopback interface."""

    url: str
    name: str = "llama-server"

    async def answer(
        self, prompt: str, n_tokens: int, seed: int, *, times: StreamTimes | None = None
    ) -> StreamTimes:
        """Generate past end tokens, with its prompt cache off."""
        body = {
            "prompt": prompt,
            "n_predict": n_tokens,
            "seed": seed,
            "cache_prompt": False,
            "ignore_eos": True,
            "repeat_penalty": 1.0,
            **SAMPLING,
        }
        return await llama_completion(self.url, body, started(times))


@dataclasses.dataclass(frozen=True)
class BalancerTarget:
    """The whole of Paddler: HTTP to the balancer, its link to an agent, the agent's engine.

    Prompts of `streams` share no prefix, so that nothing is cached although
    the agent would.
    """

    url: str
    name: str = "paddler"

    async def answer(
        self, prompt: str, n_tokens: int, seed: int, *, times: StreamTimes | None = None
    ) -> StreamTimes:
        """Generate with end tokens biased away."""
        sampling = {
            **SAMPLING,
            "seed": seed,
            "penalty_last_n": 0,
            "penalty_repeat": 1.0,
            "penalty_frequency": 0.0,
            "penalty_presence": 0.0,
            "logit_bias": END_TOKENS,
        }
        body = {"raw_prompt": prompt, "max_tokens": n_tokens, "sampling": sampling}
        return await paddler_stream(self.url, RAW_PROMPT_PATH, body, started(times))


@dataclasses.dataclass
class Figures:
    """What rounds of streams come to; times in seconds."""

    tokens_per_s: list[float] = dataclasses.field(default_factory=list)
    ttft_s: list[float] = dataclasses.field(default_factory=list)
    gaps_s: list[float] = dataclasses.field(default_factory=list)
    n_short: int = 0

    def add(self, answers: Sequence[StreamTimes], n_tokens: int) -> None:
        """Count one round of simultaneous answers."""
        began = min(answer.asked_at for answer in answers)
        ended = max(answer.ended_at for answer in answers)
        self.tokens_per_s.append(sum(answer.n_tokens for answer in answers) / (ended - began))
        for answer in answers:
            if answer.arrivals:
                self.ttft_s.append(answer.ttft_s)
            self.gaps_s += answer.gaps_s
            self.n_short += answer.n_tokens < n_tokens


async def simultaneous(target: Target, prompts: Sequence[str], n_tokens: int) -> list[StreamTimes]:
    """Ask all prompts at once; the answers in the prompts' order."""
    answers: dict[int, StreamTimes] = {}

    async def ask(number: int, prompt: str) -> None:
        answers[number] = await target.answer(prompt, n_tokens, number + 1)

    async with trio.open_nursery() as nursery:
        for number, prompt in enumerate(prompts):
            nursery.start_soon(ask, number, prompt)
    return [answers[number] for number in range(len(prompts))]


async def compare_streams(
    ours: Target,
    theirs: Target,
    *,
    counts: Sequence[int],
    n_rounds: int,
    prompt_words: int,
    n_tokens: int,
    note: Callable[[str], None],
) -> str:
    """Interleaved rounds at every number of streams; returns the table."""
    for target in (ours, theirs):
        await simultaneous(target, [words(prompt_words, "warm up")], 8)
    figures = {(target.name, count): Figures() for target in (ours, theirs) for count in counts}
    for round_number in range(n_rounds):
        order = (ours, theirs) if round_number % 2 == 0 else (theirs, ours)
        for count in counts:
            for target in order:
                prompts = [
                    words(prompt_words, f"{target.name} {round_number} {count} {stream}")
                    for stream in range(count)
                ]
                answers = await simultaneous(target, prompts, n_tokens)
                figures[target.name, count].add(answers, n_tokens)
            note(f"round {round_number + 1} of {n_rounds}, {count} streams")
    title = (
        f"{ours.name} and {theirs.name}: {n_tokens} tokens per stream after about {prompt_words} "
        f"of prompt, {n_rounds} rounds"
    )
    rows = []
    for count in counts:
        a, b = figures[ours.name, count], figures[theirs.name, count]
        rows += [_row(ours.name, count, a), _row(theirs.name, count, b), _ratios(count, a, b)]
    return markdown(title, _HEADER, rows) + _warning(figures)


_HEADER = (
    "",
    "streams",
    "tokens/s",
    "TTFT ms, median",
    "gap ms, median",
    "gap ms, p95",
)


def _row(name: str, count: int, figures: Figures) -> list[str]:
    return [
        name,
        str(count),
        f"{median(figures.tokens_per_s):.1f}",
        milliseconds(median(figures.ttft_s)),
        milliseconds(median(figures.gaps_s)),
        milliseconds(percentile(figures.gaps_s, 0.95)),
    ]


def _ratios(count: int, ours: Figures, theirs: Figures) -> list[str]:
    return [
        "**ratio**",
        str(count),
        ratio(median(ours.tokens_per_s), median(theirs.tokens_per_s)),
        ratio(median(ours.ttft_s), median(theirs.ttft_s)),
        ratio(median(ours.gaps_s), median(theirs.gaps_s)),
        ratio(percentile(ours.gaps_s, 0.95), percentile(theirs.gaps_s, 0.95)),
    ]


def _warning(figures: dict[tuple[str, int], Figures]) -> str:
    short = {name for (name, _), each in figures.items() if each.n_short}
    if not short:
        return ""
    return f"\nWarning: answers of {', '.join(sorted(short))} ended early.\n"
