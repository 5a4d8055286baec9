"""The slots of a loaded model: the native engine and its event pump.

Owns the native engine handle and hands its events to the generations they
belong to. The native thread announces events through a descriptor; one task
drains them, so that a decode step of all slots costs one wake-up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from typing import Any

import trio

from paddler.concurrency.mailbox import Mailbox
from paddler.engine import errors
from paddler.engine.library import (
    error_for_status,
    ffi,
    lib,
    new_error,
    raise_for_status,
)
from paddler.engine.model import Model, forward_log
from paddler.engine.native_request import NativeRequest
from paddler.engine.requests import (
    CacheKind,
    Ended,
    EngineEvent,
    EngineRequest,
    FinishReason,
    Logprob,
    Started,
    TokenClass,
    TokenLogprob,
    Tokens,
)
from paddler.engine.settings import GGML_TYPES, EngineSettings

_MAX_EVENTS_WAITING = 1 << 20
"""Of one generation; its `max_tokens` bounds it far below."""

_CANCEL_TIMEOUT_S = 30.0
"""A cancelled request ends after the batch that is being computed."""

_EVENTS_PER_DRAIN = 1024
_LOGPROBS_PER_DRAIN = 8192
_TEXT_BYTES_PER_DRAIN = 65536

_MAX_KEPT_REQUESTS = 65_536
"""Far above what slots and host memory can hold."""

_FINISH_REASONS = {
    lib.PDL_END_GENERATION: FinishReason.END_OF_GENERATION,
    lib.PDL_END_STOP: FinishReason.STOP_STRING,
    lib.PDL_END_MAX_TOKENS: FinishReason.MAX_TOKENS,
    lib.PDL_END_CONTEXT_FULL: FinishReason.CONTEXT_FULL,
}

_CLASSES = list(TokenClass)

logger = logging.getLogger(__name__)


class SlotPhase(enum.Enum):
    """What a slot does."""

    FREE = "free"
    PREFILL = "prefill"
    DECODE = "decode"


_PHASES = {
    lib.PDL_SLOT_FREE: SlotPhase.FREE,
    lib.PDL_SLOT_PREFILL: SlotPhase.PREFILL,
    lib.PDL_SLOT_DECODE: SlotPhase.DECODE,
}


@dataclasses.dataclass(frozen=True, slots=True)
class SlotState:
    """A slot now: `cached_tokens` are in its KV cache."""

    phase: SlotPhase
    cached_tokens: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Counters since the engine opened, and the state after the last step.

    `hits` counts started requests by where their cached prefix came from;
    `evictions` counts conversations pushed out of host memory.
    """

    slots: list[SlotState]
    n_queued: int
    n_running: int
    n_prompt_tokens: int
    n_cached_tokens: int
    n_generated_tokens: int
    n_steps: int
    hits: dict[CacheKind, int]
    evictions: int
    prompt_cache_bytes: int
    prefill_tokens_per_s: float


class Generation:
    """One request on its way; made by `SlotEngine.start`."""

    def __init__(self, request_id: int) -> None:
        self.request_id = request_id
        self._mailbox: Mailbox[EngineEvent] = Mailbox(_MAX_EVENTS_WAITING)
        self._error: errors.EngineError | None = None
        self._over = trio.Event()

    async def batches(self) -> AsyncGenerator[list[EngineEvent], None]:
        """Yield what has happened, all that is there at a time, up to `Ended`.

        Raises:
            GrammarDeadEnd: No token fits the grammar any more.
            DecodeFailed, OutOfMemory, InternalError: The engine failed.
            EngineClosed: The engine was closed meanwhile.
        """
        async for events in self._mailbox:
            yield events
        if self._error is not None:
            raise self._error

    @property
    def is_over(self) -> bool:
        """Whether the engine is done with the request."""
        return self._over.is_set()

    async def wait_over(self) -> None:
        """Wait until the engine is done with the request and its slot is free."""
        await self._over.wait()

    def deliver(self, event: EngineEvent) -> None:
        """Called by the event pump."""
        self._mailbox.post(event)

    def finish(self, error: errors.EngineError | None) -> None:
        """Called by the event pump, once: nothing more comes."""
        if not self._over.is_set():
            self._error = error
            self._mailbox.close()
            self._over.set()


class SlotEngine:
    """The slots of one model. Made by `open_slots`."""

    def __init__(self, handle: Any, model: Model, settings: EngineSettings) -> None:
        self._handle = handle
        self._model = model
        self._n_slots = settings.n_slots
        self._ids = itertools.count(1)
        self._generations: dict[int, Generation] = {}
        self._kept: dict[int, None] = {}
        self._events = ffi.new("pdl_event[]", _EVENTS_PER_DRAIN)
        self._logprobs = ffi.new("pdl_logprob[]", _LOGPROBS_PER_DRAIN)
        self._text_capacity = _TEXT_BYTES_PER_DRAIN
        self._text = ffi.new("char[]", self._text_capacity)
        self._drained = ffi.new("pdl_drained *")

    @property
    def context_tokens(self) -> int:
        """Tokens that fit one slot: prompt and generated together."""
        return int(lib.pdl_engine_context_tokens(self._handle))

    @contextlib.asynccontextmanager
    async def start(self, request: EngineRequest) -> AsyncIterator[Generation]:
        """Queue a request; leaving the block early cancels it.

        Leaving waits until the slot is free, also when cancelled.

        Raises:
            PromptTooLong: Prompt and replayed tokens do not fit the context.
            BadGrammar: The grammar does not parse.
            InvalidArgument: Parameters that cannot work.
            EngineClosed: The engine is closing.
        """
        generation = Generation(next(self._ids))
        native = NativeRequest(request, generation.request_id)
        error = new_error()
        status = lib.pdl_engine_submit(self._handle, native.pointer, error)
        if status != lib.PDL_OK:
            forward_log()
        raise_for_status(status, error)
        self._generations[generation.request_id] = generation
        try:
            yield generation
        finally:
            if not generation.is_over:
                lib.pdl_engine_cancel(self._handle, generation.request_id)
                with trio.move_on_after(_CANCEL_TIMEOUT_S, shield=True) as waiting:
                    await generation.wait_over()
                if waiting.cancelled_caught:
                    logger.error("request_not_cancelled request=%d", generation.request_id)

    @property
    def kept_requests(self) -> Collection[int]:
        """Ids of requests that are over and whose state is still held, oldest first."""
        return self._kept.keys()

    def stats(self) -> EngineStats:
        """The engine's counters and slots."""
        stats = ffi.new("pdl_engine_stats *")
        slots = ffi.new("pdl_slot_info[]", self._n_slots)
        lib.pdl_engine_get_stats(self._handle, stats, slots)
        return EngineStats(
            slots=[SlotState(_PHASES[slot.state], slot.n_cached) for slot in slots],
            n_queued=stats.n_queued,
            n_running=stats.n_running,
            n_prompt_tokens=stats.n_prompt_tokens,
            n_cached_tokens=stats.n_cached_tokens,
            n_generated_tokens=stats.n_generated_tokens,
            n_steps=stats.n_steps,
            hits={kind: stats.n_hits[kind] for kind in CacheKind},
            evictions=stats.n_evictions,
            prompt_cache_bytes=stats.prompt_cache_bytes,
            prefill_tokens_per_s=stats.prefill_tokens_per_s,
        )

    async def pump(self) -> None:
        """Hand events to their generations, for ever."""
        descriptor = lib.pdl_engine_event_fd(self._handle)
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            self._drain()

    def close(self) -> None:
        """Stop the native thread and free the slots; blocks until both are done."""
        lib.pdl_engine_close(self._handle)

    def fail_all(self) -> None:
        """Tell every generation that the engine is closed."""
        for generation in self._generations.values():
            generation.finish(errors.EngineClosed("the engine was closed"))
        self._generations.clear()

    def _drain(self) -> None:
        drained = self._drained
        while True:
            lib.pdl_engine_drain(
                self._handle,
                self._events,
                _EVENTS_PER_DRAIN,
                self._text,
                self._text_capacity,
                self._logprobs,
                _LOGPROBS_PER_DRAIN,
                drained,
            )
            text = ffi.buffer(self._text, drained.n_text_bytes)[:]
            for index in range(drained.n_events):
                self._dispatch(self._events[index], text)
            if drained.n_left == 0:
                return
            if drained.n_events == 0:
                self._text_capacity = max(
                    2 * self._text_capacity, lib.pdl_engine_max_text(self._handle)
                )
                self._text = ffi.new("char[]", self._text_capacity)

    def _dispatch(self, event: Any, drained_text: bytes) -> None:
        kind = event.kind
        if kind == lib.PDL_EVENT_CACHE_DROPPED:
            self._kept.pop(event.id, None)
            return
        generation = self._generations.get(event.id)
        if generation is None:
            return
        if kind == lib.PDL_EVENT_TOKEN:
            token = event.token
            start = event.text_offset
            end = start + event.text_bytes
            generation.deliver(
                Tokens(
                    [token] if token >= 0 else [],
                    _CLASSES[event.token_class],
                    drained_text[start:end].decode(),
                    self._read_logprobs(event) if event.n_logprobs else [],
                    drained_text[end : end + event.raw_bytes],
                )
            )
        elif kind == lib.PDL_EVENT_STARTED:
            generation.deliver(
                Started(event.slot, event.n_prompt, event.n_cached, CacheKind(event.cache_kind))
            )
        elif kind == lib.PDL_EVENT_END:
            del self._generations[event.id]
            start = event.text_offset
            message = drained_text[start : start + event.text_bytes].decode("utf-8", "replace")
            self._end(generation, event, message)

    def _end(self, generation: Generation, event: Any, message: str) -> None:
        if event.kept:
            self._kept[event.id] = None
            if len(self._kept) > _MAX_KEPT_REQUESTS:
                del self._kept[next(iter(self._kept))]
        reason = _FINISH_REASONS.get(event.end_reason)
        if reason is not None:
            generation.deliver(
                Ended(
                    reason=reason,
                    n_generated={kind: event.n_generated[kind] for kind in TokenClass},
                    queued_ms=event.queued_ms,
                    prefill_ms=event.prefill_ms,
                    decode_ms=event.decode_ms,
                    state_kept=bool(event.kept),
                )
            )
            generation.finish(None)
        elif event.end_reason == lib.PDL_END_ERROR:
            forward_log()
            generation.finish(error_for_status(event.status, message))
        else:
            generation.finish(None)

    def _read_logprobs(self, event: Any) -> list[TokenLogprob]:
        first = event.logprobs_offset
        entries = [
            Logprob(entry.token, self._model.token_bytes(entry.token), entry.logprob)
            for entry in self._logprobs[first : first + event.n_logprobs]
        ]
        return [TokenLogprob(entries[0], entries[1:])]


@contextlib.asynccontextmanager
async def open_slots(model: Model, settings: EngineSettings) -> AsyncIterator[SlotEngine]:
    """Make the context and start the native thread; close both on exit.

    Raises:
        InvalidArgument: Parameters that cannot work together.
        OutOfMemory: The KV cache does not fit.
        Unsupported: The model cannot generate.
    """
    params = ffi.new("pdl_engine_params *")
    params.n_slots = settings.n_slots
    params.n_ctx_slot = settings.context_tokens
    params.n_batch = settings.n_batch
    params.n_ubatch = settings.n_ubatch
    params.n_threads = settings.n_threads
    params.type_k = GGML_TYPES[settings.k_cache_dtype]
    params.type_v = GGML_TYPES[settings.v_cache_dtype]
    params.prefill_budget_ms = settings.prefill_budget_ms
    params.prefix_wait_ms = settings.prefix_wait_ms
    params.reuse_cache = settings.reuse_cache
    params.n_checkpoints = settings.n_checkpoints
    params.prompt_cache_bytes = settings.prompt_cache_bytes
    handle = ffi.new("pdl_engine **")
    error = new_error()
    status = await trio.to_thread.run_sync(lib.pdl_engine_open, model.handle, params, handle, error)
    forward_log()
    raise_for_status(status, error)
    engine = SlotEngine(handle[0], model, settings)
    raised: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.pump)
            # Kept out of the nursery, which would wrap it in a group.
            try:
                yield engine
            except Exception as error:
                raised = error
            nursery.cancel_scope.cancel()
        if raised is not None:
            raise raised
    finally:
        engine.fail_all()
        # Joining the thread is prompt, as closing aborts the batch in flight.
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(engine.close)
        forward_log()
