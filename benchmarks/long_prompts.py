"""What a long prompt does to others: the gaps of running streams, the TTFT of short prompts."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable

import trio

from benchmarks.clients import StreamTimes
from benchmarks.prompts import words
from benchmarks.streams import Target
from benchmarks.tables import markdown, median, milliseconds, percentile, ratio

_SHORT_PROMPT_WORDS = 30
_PAUSE_S = 0.3
_WARM_UP_TOKENS = 8
_MORE_TOKENS_THAN_NEEDED = 100_000


@dataclasses.dataclass
class LongPromptFigures:
    """Times in seconds; lists have one value per round, `short_ttfts_s` one per short prompt."""

    longest_gaps_s: list[float] = dataclasses.field(default_factory=list)
    gaps_s: list[float] = dataclasses.field(default_factory=list)
    long_ttfts_s: list[float] = dataclasses.field(default_factory=list)
    short_ttfts_s: list[float] = dataclasses.field(default_factory=list)


async def measure_long_prompt(
    target: Target, *, n_running: int, prompt_words: int, round_name: str, into: LongPromptFigures
) -> None:
    """Let `n_running` streams decode, then prefill a long prompt, with short prompts beside it."""
    running = [StreamTimes(0.0) for _ in range(n_running)]
    async with trio.open_nursery() as nursery:
        for number, stream in enumerate(running):
            prompt = words(_SHORT_PROMPT_WORDS, f"{round_name} running {number}")
            nursery.start_soon(
                functools.partial(
                    target.answer, prompt, _MORE_TOKENS_THAN_NEEDED, number, times=stream
                )
            )
        for stream in running:
            while len(stream.arrivals) < _WARM_UP_TOKENS:
                await stream.next_piece()
        began = trio.current_time()
        async with trio.open_nursery() as beside:
            beside.start_soon(_short_prompts, target, round_name, into)
            long = await target.answer(words(prompt_words, f"{round_name} long"), 1, 1)
            beside.cancel_scope.cancel()
        first = began + long.ttft_s
        into.long_ttfts_s.append(long.ttft_s)
        # A gap that ends after the long prompt's first token belongs to its prefill, too.
        for stream in running:
            while stream.arrivals[-1] <= first:
                await stream.next_piece()
        nursery.cancel_scope.cancel()
    gaps = [gap for stream in running for gap in _gaps_between(stream, began, first)]
    into.gaps_s += gaps
    into.longest_gaps_s.append(max(gaps))


def _gaps_between(times: StreamTimes, began: float, ended: float) -> list[float]:
    """The gaps between tokens that overlap a period."""
    return [
        later - earlier
        for earlier, later in itertools.pairwise(times.arrivals)
        if later > began and earlier < ended
    ]


async def _short_prompts(target: Target, round_name: str, into: LongPromptFigures) -> None:
    """One short prompt after the other; one that is still waiting at the end counts as it is."""
    for number in range(1_000_000):
        prompt = words(_SHORT_PROMPT_WORDS, f"{round_name} short {number}")
        asked_at = trio.current_time()
        try:
            answer = await target.answer(prompt, 1, number)
        except trio.Cancelled:
            if trio.current_time() - asked_at > 2 * _PAUSE_S:
                into.short_ttfts_s.append(trio.current_time() - asked_at)
            raise
        into.short_ttfts_s.append(answer.ttft_s)
        await trio.sleep(_PAUSE_S)


async def compare_long_prompts(
    ours: Target,
    theirs: Target,
    *,
    n_rounds: int,
    prompt_words: int,
    note: Callable[[str], None],
) -> str:
    """Interleaved rounds; returns the table."""
    figures = {target.name: LongPromptFigures() for target in (ours, theirs)}
    for round_number in range(n_rounds):
        order = (ours, theirs) if round_number % 2 == 0 else (theirs, ours)
        for target in order:
            await measure_long_prompt(
                target,
                n_running=3,
                prompt_words=prompt_words,
                round_name=f"{target.name} {round_number}",
                into=figures[target.name],
            )
        note(f"round {round_number + 1} of {n_rounds}, long prompt")
    a, b = figures[ours.name], figures[theirs.name]
    readings: list[tuple[str, Callable[[LongPromptFigures], float]]] = [
        ("longest gap of running streams, ms", lambda each: median(each.longest_gaps_s)),
        ("median gap of running streams, ms", lambda each: median(each.gaps_s)),
        ("TTFT of short prompts, median, ms", lambda each: median(each.short_ttfts_s)),
        ("TTFT of short prompts, p95, ms", lambda each: percentile(each.short_ttfts_s, 0.95)),
        ("TTFT of the long prompt, ms", lambda each: median(each.long_ttfts_s)),
    ]
    rows = [
        [what, milliseconds(read(a)), milliseconds(read(b)), ratio(read(a), read(b))]
        for what, read in readings
    ]
    title = (
        f"While a prompt of about {prompt_words} tokens is prefilled beside 3 running streams, "
        f"{n_rounds} rounds"
    )
    return markdown(title, ("", ours.name, theirs.name, "ratio"), rows)
