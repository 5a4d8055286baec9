"""From a generation order to the engine's request, and from its events to the wire's.

Pure: nothing here waits, tokenizes or renders. What cannot be served is raised
as `RequestEnded`, which carries the event that says so.
"""

from __future__ import annotations

from typing import TypeVar

from paddler.agent.request_errors import RequestEnded, failed
from paddler.engine.requests import (
    CacheKind,
    Ended,
    EngineSampling,
    Logprob,
    Started,
    TokenClass,
    Tokens,
)
from paddler.messages.conversation import ImagePart
from paddler.messages.generation import (
    CONTEXT_LENGTH_EXCEEDED,
    Alternative,
    CachedIn,
    ConversationPrompt,
    EngineTimings,
    GenerationDone,
    GenerationFailure,
    GenerationOrder,
    GenerationRefused,
    GenerationStarted,
    TokenEvent,
    TokenLogprobs,
    Usage,
)
from paddler.messages.sampling import Sampling
from paddler.messages.state import InferenceParameters

__all__ = [
    "check_order",
    "done_event",
    "resolve_sampling",
    "room_for",
    "started_event",
    "token_event",
]

ValueT = TypeVar("ValueT")

_CACHED_IN: dict[CacheKind, CachedIn] = {
    CacheKind.NONE: "none",
    CacheKind.SLOT: "slot",
    CacheKind.RAM: "host",
    CacheKind.SHARED: "shared",
}


def check_order(order: GenerationOrder, *, supports_images: bool) -> None:
    """Refuse what no model could serve.

    Raises:
        RequestEnded: A grammar beside thinking, or images without a projector.
    """
    prompt = order.prompt
    if not isinstance(prompt, ConversationPrompt):
        return
    if order.grammar is not None and prompt.enable_thinking:
        message = "a grammar and `enable_thinking` exclude each other"
        raise failed(GenerationFailure.GRAMMAR_INCOMPATIBLE_WITH_THINKING, message)
    if not supports_images and _has_images(prompt):
        message = "the conversation has images, and no multimodal projection is loaded"
        raise failed(GenerationFailure.MULTIMODAL_NOT_SUPPORTED, message)


def resolve_sampling(
    parameters: InferenceParameters, overrides: Sampling, *, random_seed: int
) -> EngineSampling:
    """The fleet's parameters with the request's own laid over them."""

    return EngineSampling(
        temperature=_own_or(overrides.temperature, parameters.temperature),
        top_k=_own_or(overrides.top_k, parameters.top_k),
        top_p=_own_or(overrides.top_p, parameters.top_p),
        min_p=_own_or(overrides.min_p, parameters.min_p),
        seed=_own_or(overrides.seed, random_seed),
        penalty_last_n=_own_or(overrides.penalty_last_n, parameters.penalty_last_n),
        penalty_repeat=_own_or(overrides.penalty_repeat, parameters.penalty_repeat),
        penalty_frequency=_own_or(overrides.penalty_frequency, parameters.penalty_frequency),
        penalty_presence=_own_or(overrides.penalty_presence, parameters.penalty_presence),
        logit_bias=tuple((overrides.logit_bias or {}).items()),
    )


def room_for(max_tokens: int | None, *, n_prompt_tokens: int, context_tokens: int) -> int:
    """How many tokens may be generated: what was asked for, cut to what fits.

    Raises:
        RequestEnded: The prompt leaves no room for a single one.
    """
    room = context_tokens - n_prompt_tokens
    if room < 1:
        message = (
            f"the prompt has {n_prompt_tokens} tokens, "
            f"but the context of a slot holds {context_tokens}, answer included"
        )
        raise RequestEnded(GenerationRefused(400, message, CONTEXT_LENGTH_EXCEEDED))
    return room if max_tokens is None else min(max_tokens, room)


def started_event(started: Started, n_prompt_tokens: int) -> GenerationStarted:
    """The first event of every generation."""
    return GenerationStarted(
        started.slot,
        n_prompt_tokens,
        min(started.n_cached_tokens, n_prompt_tokens),
        _CACHED_IN[started.cache_kind],
    )


def token_event(tokens: Tokens) -> TokenEvent:
    """Generated tokens, with log-probabilities if they were asked for."""
    return TokenEvent(
        tokens.token_class,
        tokens.text,
        tokens.token_ids,
        [
            TokenLogprobs(_alternative(each.chosen), [_alternative(other) for other in each.top])
            for each in tokens.logprobs
        ],
    )


def done_event(
    started: GenerationStarted, ended: Ended, *, n_image_tokens: int = 0
) -> GenerationDone:
    """The last event of a generation that went well, with its bill."""
    n_generated = ended.n_generated
    return GenerationDone(
        ended.reason,
        Usage(
            prompt_tokens=started.prompt_tokens,
            cached_prompt_tokens=started.cached_prompt_tokens,
            input_image_tokens=n_image_tokens,
            content_tokens=n_generated.get(TokenClass.CONTENT, 0),
            reasoning_tokens=n_generated.get(TokenClass.REASONING, 0),
            tool_call_tokens=n_generated.get(TokenClass.TOOL_CALL, 0),
            undeterminable_tokens=n_generated.get(TokenClass.UNDETERMINABLE, 0),
        ),
        EngineTimings(
            queued_ms=ended.queued_ms,
            prefill_ms=ended.prefill_ms,
            decode_ms=ended.decode_ms,
            slot=started.slot,
        ),
    )


def _own_or(own: ValueT | None, fleets: ValueT) -> ValueT:
    return fleets if own is None else own


def _alternative(logprob: Logprob) -> Alternative:
    return Alternative(logprob.token_id, logprob.text, logprob.logprob)


def _has_images(prompt: ConversationPrompt) -> bool:
    return any(
        isinstance(part, ImagePart)
        for message in prompt.messages
        if isinstance(message.content, list)
        for part in message.content
    )
