"""Conversations that interleave, grow, are edited, cancelled and evicted.

A reference engine answers every prompt from an empty slot; the engine under
test may reuse whatever it holds. Both must say the same next tokens with the
same log-probabilities.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from paddler.engine.model import Model, open_model
from paddler.engine.requests import (
    CacheKind,
    EngineRequest,
    EngineSampling,
    Started,
    Tokens,
)
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import SlotEngine, open_slots

N_LOGPROBS = 8
GREEDY = EngineSampling(temperature=0.0)


@dataclasses.dataclass
class Answer:
    """Generated tokens, and per token the log-probabilities of the likeliest."""

    started: Started
    token_ids: list[int]
    logprobs: list[dict[int, float]]


@dataclasses.dataclass
class Conversation:
    """The tokens so far, and where its messages begin."""

    token_ids: list[int]
    boundaries: list[int]
    motif: list[int]


@contextlib.asynccontextmanager
async def open_pair(
    path: Path, *, n_slots: int, context_tokens: int, prompt_cache_bytes: int, kv_dtype: str
) -> AsyncIterator[tuple[Model, SlotEngine, SlotEngine]]:
    """The engine under test and the reference, on one model."""
    shared = {
        "context_tokens": context_tokens,
        "k_cache_dtype": kv_dtype,
        "v_cache_dtype": kv_dtype,
        # Two engines compute at once: their threads would wait for each other.
        "n_threads": 1,
    }
    async with (
        open_model(path) as model,
        open_slots(
            model,
            EngineSettings(
                n_slots=n_slots,
                prompt_cache_bytes=prompt_cache_bytes,
                **shared,  # type: ignore[arg-type]  # one dict for both engines
            ),
        ) as tested,
        open_slots(
            model,
            EngineSettings(n_slots=1, reuse_cache=False, **shared),  # type: ignore[arg-type]
        ) as reference,
    ):
        yield model, tested, reference


async def answer(
    slots: SlotEngine, token_ids: list[int], checkpoints: list[int], max_tokens: int
) -> Answer:
    """A greedy answer with its log-probabilities."""
    started: Started | None = None
    tokens: list[int] = []
    logprobs: list[dict[int, float]] = []
    request = EngineRequest(
        prompt_tokens=token_ids,
        max_tokens=max_tokens,
        sampling=GREEDY,
        checkpoints=checkpoints,
        n_logprobs=N_LOGPROBS,
        ignore_end=True,
    )
    async with (
        slots.start(request) as generation,
        contextlib.aclosing(generation.batches()) as batches,
    ):
        async for batch in batches:
            for event in batch:
                if isinstance(event, Started):
                    started = event
                elif isinstance(event, Tokens):
                    tokens.extend(event.token_ids)
                    logprobs.extend(
                        {entry.token_id: entry.logprob for entry in position.top}
                        for position in event.logprobs
                    )
    assert started is not None
    return Answer(started, tokens, logprobs)


def largest_difference(tested: Answer, reference: Answer, least_logprob: float) -> float:
    """Between log-probabilities, up to the first position where the tokens part.

    Tokens that the reference finds less likely than `least_logprob` are left
    out: their log-probabilities are mostly noise.
    """
    largest = 0.0
    positions = zip(
        tested.token_ids,
        reference.token_ids,
        tested.logprobs,
        reference.logprobs,
        strict=True,
    )
    for chosen, expected, ours, theirs in positions:
        for token, logprob in theirs.items():
            if token in ours and logprob >= least_logprob:
                largest = max(largest, abs(ours[token] - logprob))
        if chosen != expected:
            # A near tie may fall either way; anything else is a wrong state.
            largest = max(largest, theirs[expected] - theirs.get(chosen, -100.0))
            break
    return largest


class Traffic:
    """Random conversations over a pair of engines.

    Args:
        vocabulary: Token ids that text is made of.
        longest_tokens: Conversations start over above this length.
        tolerance: Largest difference of log-probabilities that rounding explains.
        least_logprob: See `largest_difference`.
        motif_tokens: 0 for random text. Otherwise every conversation repeats a
            motif of its own, that long: a model that copies is then sure of
            the next token, and only the right state can tell it.
        longest_turn: Tokens that a turn adds at most.
        first_tokens: Length of a conversation's first message.
    """

    def __init__(
        self,
        tested: SlotEngine,
        reference: SlotEngine,
        *,
        vocabulary: list[int],
        n_conversations: int,
        longest_tokens: int,
        tolerance: float,
        seed: int,
        least_logprob: float = -100.0,
        motif_tokens: int = 0,
        longest_turn: int = 90,
        first_tokens: int = 30,
    ) -> None:
        self._tested = tested
        self._reference = reference
        self._random = random.Random(seed)
        self._vocabulary = vocabulary
        self._longest_tokens = longest_tokens
        self._tolerance = tolerance
        self._least_logprob = least_logprob
        self._motif_tokens = motif_tokens
        self._longest_turn = longest_turn
        self._first_tokens = first_tokens
        self._system = self._random_text(60)
        self._conversations = [self._fresh() for _ in range(n_conversations)]
        self.worst = 0.0
        self.hits: dict[CacheKind, int] = dict.fromkeys(CacheKind, 0)

    async def run(self, n_rounds: int, n_together: int) -> None:
        """Take `n_rounds` turns of `n_together` conversations at a time."""
        for _ in range(n_rounds):
            chosen = self._random.sample(self._conversations, n_together)
            answers: list[tuple[Conversation, Answer, Answer]] = []

            async def ask(
                conversation: Conversation,
                answers: list[tuple[Conversation, Answer, Answer]] = answers,
            ) -> None:
                prompt, boundaries = list(conversation.token_ids), list(conversation.boundaries)
                tested = await answer(self._tested, prompt, boundaries, 4)
                reference = await answer(self._reference, prompt, boundaries, 4)
                answers.append((conversation, tested, reference))

            async with trio.open_nursery() as nursery:
                for conversation in chosen:
                    self._next_turn(conversation)
                    nursery.start_soon(ask, conversation)
                if self._random.random() < 0.3:
                    nursery.start_soon(self._cancelled, self._random.choice(self._conversations))
            for conversation, tested, reference in answers:
                self.hits[tested.started.cache_kind] += 1
                difference = largest_difference(tested, reference, self._least_logprob)
                self.worst = max(self.worst, difference)
                assert difference <= self._tolerance, (
                    f"log-probabilities differ by {difference} after reusing "
                    f"{tested.started.n_cached_tokens} of {len(conversation.token_ids)} tokens "
                    f"({tested.started.cache_kind.name})"
                )
                conversation.token_ids += tested.token_ids

    def _next_turn(self, conversation: Conversation) -> None:
        if len(conversation.token_ids) > self._longest_tokens:
            fresh = self._fresh()
            conversation.token_ids = fresh.token_ids
            conversation.boundaries = fresh.boundaries
            conversation.motif = fresh.motif
            return
        kind = self._random.random()
        if kind < 0.15 and len(conversation.boundaries) > 1:
            # An earlier message is edited, and all after it is gone.
            at = self._random.choice(conversation.boundaries[1:])
            conversation.token_ids = conversation.token_ids[:at]
            conversation.boundaries = [p for p in conversation.boundaries if p <= at]
        elif kind < 0.3:
            # The answer is cut short, as templates drop reasoning.
            del conversation.token_ids[-self._random.randrange(1, 4) :]
        elif kind < 0.4:
            return  # the same prompt again
        conversation.boundaries.append(len(conversation.token_ids))
        n_tokens = self._random.randrange(1, self._longest_turn)
        conversation.token_ids += self._text(conversation.motif, n_tokens)

    async def _cancelled(self, conversation: Conversation) -> None:
        prompt = [*conversation.token_ids, *self._random_text(40)]
        with trio.move_on_after(self._random.random() * 0.03):
            await answer(self._tested, prompt, [], 50)

    def _fresh(self) -> Conversation:
        begins_alike = self._random.random() < 0.7
        start = list(self._system) if begins_alike else self._random_text(20)
        motif = self._random_text(self._motif_tokens)
        first = self._text(motif, self._first_tokens)
        return Conversation(start + first, [len(start)], motif)

    def _text(self, motif: list[int], n_tokens: int) -> list[int]:
        if not motif:
            return self._random_text(n_tokens)
        return (motif * (n_tokens // len(motif) + 1))[:n_tokens]

    def _random_text(self, n_tokens: int) -> list[int]:
        return self._random.choices(self._vocabulary, k=n_tokens)
