"""Runs requests on slots and keeps what they had to say."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from paddler.engine.model import Model, open_model
from paddler.engine.requests import Ended, EngineRequest, Started, Tokens
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import Generation, SlotEngine, SlotPhase, open_slots

TIMEOUT_S = 120.0


@contextlib.asynccontextmanager
async def opened(path: Path, **settings: object) -> AsyncIterator[tuple[Model, SlotEngine]]:
    """A model and its slots, for a bounded time."""
    # Several threads wait for each other at every step: on a busy machine, long.
    defaults: dict[str, object] = {"n_slots": 2, "context_tokens": 1024, "n_threads": 1}
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model:
            chosen = EngineSettings(**(defaults | settings))  # type: ignore[arg-type]  # a builder
            async with open_slots(model, chosen) as slots:
                yield model, slots


class Outcome:
    """Everything one generation had to say."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self.tokens: list[Tokens] = []
        self.ended: Ended | None = None

    @property
    def text(self) -> str:
        return "".join(tokens.text for tokens in self.tokens)

    @property
    def token_ids(self) -> list[int]:
        return [token for tokens in self.tokens for token in tokens.token_ids]

    @property
    def cached(self) -> int:
        assert self.started is not None
        return self.started.n_cached_tokens


async def run(slots: SlotEngine, request: EngineRequest) -> Outcome:
    """All of one generation."""
    async with slots.start(request) as generation:
        return await collect(generation)


async def collect(generation: Generation) -> Outcome:
    """What a running generation has to say from here on."""
    outcome = Outcome()
    async with contextlib.aclosing(generation.batches()) as batches:
        async for batch in batches:
            for event in batch:
                match event:
                    case Started():
                        outcome.started = event
                    case Tokens():
                        outcome.tokens.append(event)
                    case Ended():
                        outcome.ended = event
    return outcome


async def until_phase(slots: SlotEngine, phase: SlotPhase) -> None:
    # The native thread publishes phases; nothing announces them.
    while not any(slot.phase is phase for slot in slots.stats().slots):  # noqa: ASYNC110
        await trio.sleep(0.002)
