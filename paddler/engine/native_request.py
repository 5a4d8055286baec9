"""Lays an `EngineRequest` out as the C struct `pdl_request`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddler.engine.library import ffi
from paddler.engine.requests import EngineRequest

_ANY_CLASS = -1
_LOGPROBS_OFF = -1


class NativeRequest:
    """A `pdl_request` and everything it points to, alive as long as this is.

    The native engine copies what it needs while the request is submitted.
    """

    def __init__(self, request: EngineRequest, request_id: int) -> None:
        self._kept: list[Any] = []
        native = ffi.new("pdl_request *")
        self.pointer = native
        native.id = request_id
        native.tokens, native.n_tokens = self._ints(request.prompt_tokens)
        if request.media is not None:
            native.media = request.media.handle
        native.replay, native.n_replay = self._ints(request.replay_tokens)
        native.n_replay_sent_bytes = request.replay_sent_bytes
        native.max_tokens = request.max_tokens
        native.ignore_end = request.ignore_end
        native.stops, native.n_stops = self._strings(request.stops)
        native.preserved_tokens, native.n_preserved_tokens = self._ints(request.preserved_tokens)
        native.checkpoints, native.n_checkpoints = self._ints(request.checkpoints)
        native.initial_class = request.initial_class
        native.with_raw_text = request.with_raw_text
        self._fill_sampling(request)
        self._fill_grammar(request)
        self._fill_markers(request)

    def _fill_sampling(self, request: EngineRequest) -> None:
        values = request.sampling
        sampling = self.pointer.sampling
        sampling.temperature = values.temperature
        sampling.top_k = values.top_k
        sampling.top_p = values.top_p
        sampling.min_p = values.min_p
        sampling.seed = values.seed
        sampling.penalty_last_n = values.penalty_last_n
        sampling.penalty_repeat = values.penalty_repeat
        sampling.penalty_frequency = values.penalty_frequency
        sampling.penalty_presence = values.penalty_presence
        sampling.n_logprobs = _LOGPROBS_OFF if request.n_logprobs is None else request.n_logprobs
        biases = self._keep(ffi.new("pdl_logit_bias[]", len(values.logit_bias)))
        for index, (token, bias) in enumerate(values.logit_bias):
            biases[index].token = token
            biases[index].bias = bias
        sampling.logit_biases = biases
        sampling.n_logit_biases = len(values.logit_bias)

    def _fill_grammar(self, request: EngineRequest) -> None:
        grammar = request.grammar
        if grammar is None:
            return
        native = self.pointer
        native.grammar = self._string(grammar.text)
        native.grammar_root = self._string(grammar.root)
        native.grammar_lazy = grammar.lazy
        native.grammar_trigger_patterns, native.n_grammar_trigger_patterns = self._strings(
            grammar.trigger_patterns
        )
        native.grammar_trigger_tokens, native.n_grammar_trigger_tokens = self._ints(
            grammar.trigger_tokens
        )
        if grammar.prefix:
            native.grammar_prefix = self._string(grammar.prefix)

    def _fill_markers(self, request: EngineRequest) -> None:
        markers = self._keep(ffi.new("pdl_class_marker[]", len(request.markers)))
        for index, marker in enumerate(request.markers):
            markers[index].text = self._string(marker.text)
            markers[index].when_class = _ANY_CLASS if marker.when is None else marker.when
            markers[index].next_class = marker.becomes
            markers[index].emit = marker.emit
        self.pointer.markers = markers
        self.pointer.n_markers = len(request.markers)

    def _keep(self, value: Any) -> Any:
        self._kept.append(value)
        return value

    def _ints(self, values: Sequence[int]) -> tuple[Any, int]:
        return self._keep(ffi.new("int32_t[]", list(values))), len(values)

    def _string(self, text: str) -> Any:
        return self._keep(ffi.new("char[]", text.encode("utf-8", "replace")))

    def _strings(self, texts: Sequence[str]) -> tuple[Any, int]:
        return self._keep(ffi.new("char *[]", [self._string(text) for text in texts])), len(texts)
