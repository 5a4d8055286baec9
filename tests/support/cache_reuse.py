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


@dataclasses.dataclass(eq=False)
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
    slots: SlotEngine,
    token_ids: list[int],
    checkpoints: list[int],
    max_tokens: int,
    *,
    leave_after: int | None = None,
) -> Answer:
    """A greedy answer with its log-probabilities, cancelled after `leave_after` tokens."""
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
            if leave_after is not None and len(tokens) >= leave_after:
                break
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


class WrongState(AssertionError):
    """An answer that an empty cache would not have given; the message says which."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrafficShape:
    """What conversations are like, and how equal their answers have to be.

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
        longest_cancelled_s: A cancelled prompt is given up within this time.
    """

    vocabulary: range
    longest_tokens: int
    tolerance: float
    least_logprob: float = -100.0
    motif_tokens: int = 0
    longest_turn: int = 90
    first_tokens: int = 30
    longest_cancelled_s: float = 0.03


# Random weights amplify the rounding of another batch shape to at most 0.04
# (attention; 1e-5 with a recurrent state alone); a wrong state is off by 0.3 to 1.5.
TINY_TRAFFIC = TrafficShape(vocabulary=range(265, 350), longest_tokens=450, tolerance=0.08)

# Quantized weights: another batch shape alone moves log-probabilities by up to 3
# where the model is not quite sure. In another conversation's state it is sure
# of tokens that the right state finds impossible: a difference of almost 100.
# Histories grow beyond the model's sliding window of 512 tokens.
REAL_TRAFFIC = TrafficShape(
    vocabulary=range(1000, 9000),
    longest_tokens=900,
    tolerance=5.0,
    least_logprob=-3.0,
    motif_tokens=8,
    longest_turn=40,
    first_tokens=450,
    longest_cancelled_s=1.0,
)


class Traffic:
    """Random conversations over a pair of engines."""

    def __init__(
        self,
        tested: SlotEngine,
        reference: SlotEngine,
        shape: TrafficShape,
        *,
        n_conversations: int,
        seed: int,
    ) -> None:
        self._tested = tested
        self._reference = reference
        self._shape = shape
        self._random = random.Random(seed)
        self._system = self._random_text(60)
        self._conversations = [self._fresh() for _ in range(n_conversations)]
        self.worst = 0.0
        self.n_cancelled = 0
        self.hits: dict[CacheKind, int] = dict.fromkeys(CacheKind, 0)

    async def run(self, n_rounds: int, n_together: int) -> None:
        """Take `n_rounds` turns of `n_together` conversations at a time.

        Raises:
            WrongState: An answer differs by more than rounding explains.
        """
        for _ in range(n_rounds):
            chosen = self._random.sample(self._conversations, n_together)
            others = [each for each in self._conversations if each not in chosen]
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
                if others and self._random.random() < 0.4:
                    nursery.start_soon(self._leave, self._random.choice(others))
            for conversation, tested, reference in answers:
                self._compare(conversation, tested, reference)
                conversation.token_ids += tested.token_ids

    def _compare(self, conversation: Conversation, tested: Answer, reference: Answer) -> None:
        self.hits[tested.started.cache_kind] += 1
        difference = largest_difference(tested, reference, self._shape.least_logprob)
        self.worst = max(self.worst, difference)
        if difference > self._shape.tolerance:
            raise WrongState(
                f"log-probabilities differ by {difference} after reusing "
                f"{tested.started.n_cached_tokens} of {len(conversation.token_ids)} tokens "
                f"({tested.started.cache_kind.name})"
            )

    def _next_turn(self, conversation: Conversation) -> None:
        if len(conversation.token_ids) > self._shape.longest_tokens:
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
        n_tokens = self._random.randrange(1, self._shape.longest_turn)
        conversation.token_ids += self._text(conversation.motif, n_tokens)

    async def _leave(self, conversation: Conversation) -> None:
        """Ask, and leave before the answer's end; maybe the conversation goes on from there."""
        self.n_cancelled += 1
        begin = len(conversation.token_ids)
        prompt = [*conversation.token_ids, *self._text(conversation.motif, 40)]
        tokens: list[int] = []
        if self._random.random() < 0.5:
            leave_after = self._random.randrange(1, 12)
            left = await answer(self._tested, prompt, [begin], 50, leave_after=leave_after)
            tokens = left.token_ids
        else:
            with trio.move_on_after(self._random.random() * self._shape.longest_cancelled_s):
                await answer(self._tested, prompt, [begin], 50)
        if self._random.random() < 0.5:
            conversation.boundaries.append(begin)
            conversation.token_ids = [*prompt, *tokens]

    def _fresh(self) -> Conversation:
        begins_alike = self._random.random() < 0.7
        start = list(self._system) if begins_alike else self._random_text(20)
        motif = self._random_text(self._shape.motif_tokens)
        first = self._text(motif, self._shape.first_tokens)
        return Conversation(start + first, [len(start)], motif)

    def _text(self, motif: list[int], n_tokens: int) -> list[int]:
        if not motif:
            return self._random_text(n_tokens)
        return (motif * (n_tokens // len(motif) + 1))[:n_tokens]

    def _random_text(self, n_tokens: int) -> list[int]:
        return self._random.choices(self._shape.vocabulary, k=n_tokens)
