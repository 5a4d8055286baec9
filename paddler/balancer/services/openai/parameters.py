"""What chat, completions and responses have in common in a request, and what it means.

Beside OpenAI's own parameters these are the ones that users of llama-server
and vLLM know: `top_k`, `min_p`, `repeat_penalty`, `ignore_eos`, `grammar`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from paddler.messages.generation import GenerationOrder
from paddler.messages.sampling import (
    MAX_LOGIT_BIASES,
    AdditivePenalty,
    LogitBias,
    PenaltyLastN,
    Probability,
    RepeatPenalty,
    Sampling,
    Temperature,
)

MAX_STOP_STRINGS = 16
MAX_CONVERSATION_ID_CHARS = 256

MaxTokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
NChoices = Annotated[int, Meta(ge=1, le=128)]
NTopLogprobs = Annotated[int, Meta(ge=0, le=20)]
StopString = Annotated[str, Meta(min_length=1)]
StopStrings = Annotated[list[StopString], Meta(max_length=MAX_STOP_STRINGS)]


class StreamOptions(msgspec.Struct, frozen=True):
    """`include_usage`: a last chunk with the usage, before `[DONE]`."""

    include_usage: bool | None = None


class SamplingParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of every request that generates; what is None comes from the fleet."""

    model: str | None = None
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Probability | None = None
    seed: int | None = None
    presence_penalty: AdditivePenalty | None = None
    frequency_penalty: AdditivePenalty | None = None
    repeat_penalty: RepeatPenalty | None = None
    repetition_penalty: RepeatPenalty | None = None
    repeat_last_n: PenaltyLastN | None = None
    logit_bias: Annotated[dict[int, LogitBias], Meta(max_length=MAX_LOGIT_BIASES)] | None = None
    stop: StopString | StopStrings | None = None
    ignore_eos: bool | None = None
    conversation_id: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    user: str | None = None

    def sampling(self) -> Sampling:
        """The overrides of the fleet's sampling parameters."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=None if self.top_k is None else max(self.top_k, 0),
            min_p=self.min_p,
            # OpenAI's seeds have 64 bits and a sign.
            seed=None if self.seed is None else self.seed % 2**32,
            penalty_presence=self.presence_penalty,
            penalty_frequency=self.frequency_penalty,
            penalty_repeat=(
                self.repeat_penalty if self.repeat_penalty is not None else self.repetition_penalty
            ),
            penalty_last_n=self.repeat_last_n,
            logit_bias=self.logit_bias or None,
        )

    def stop_strings(self) -> list[str]:
        """`stop` as a list."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else list(self.stop)

    def routing_hint(self) -> str | None:
        """What says best which requests belong together."""
        hint = self.conversation_id or self.prompt_cache_key or self.safety_identifier or self.user
        if not hint or len(hint) <= MAX_CONVERSATION_ID_CHARS:
            return hint or None
        return hashlib.sha256(hint.encode("utf-8", "surrogatepass")).hexdigest()


def seeded_choices(order: GenerationOrder, n_choices: int) -> list[GenerationOrder]:
    """`order` once per choice; with one seed for all they would be equal."""
    seed = order.sampling.seed
    if seed is None:
        return [order] * n_choices
    return [
        msgspec.structs.replace(
            order,
            sampling=msgspec.structs.replace(order.sampling, seed=(seed + index) % 2**32),
        )
        for index in range(n_choices)
    ]
