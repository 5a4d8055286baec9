"""How an engine is to be opened."""

from __future__ import annotations

import dataclasses

GGML_TYPES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q5_0": 6,
    "Q5_1": 7,
    "Q8_0": 8,
    "IQ4_NL": 20,
    "BF16": 30,
}
"""KV cache types by name, as `enum ggml_type` numbers them (ggml.h)."""

POOLING_TYPES = {"Unspecified": -1, "None": 0, "Mean": 1, "Cls": 2, "Last": 3, "Rank": 4}
"""Pooling types by name, as `enum llama_pooling_type` numbers them (llama.h)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Everything that is fixed while an engine is open.

    Args:
        n_slots: Requests that advance together, each with its own KV cache.
        context_tokens: Size of each slot's KV cache.
        n_batch: Most tokens in one batch.
        n_ubatch: Tokens computed at once; 0 is llama.cpp's default.
        k_cache_dtype, v_cache_dtype: Keys of `GGML_TYPES`.
        n_gpu_layers: -1 is all, 0 is CPU only.
        n_threads: 0 is one per physical core.
        prefill_budget_ms: How long the prompt tokens of a step may take that also
            decodes; the whole step may take a fifth more. Short prompts and
            crowds of prompts get up to eight times as much.
        reuse_cache: Whether prompts start from what their slot already holds.
        prefix_wait_ms: How long a request waits at most while a slot prefills
            a prompt that begins like its own; what is there then is copied.
        n_checkpoints: Kept per slot, for models that cannot roll back.
        prompt_cache_bytes: Host memory for conversations whose slot was
            needed; 0 is off.
        enable_embeddings: Whether a second context for embeddings is opened.
        embedding_batch_tokens: Longest document, and tokens per batch.
        pooling_type: A key of `POOLING_TYPES`.
    """

    n_slots: int
    context_tokens: int
    n_batch: int = 2048
    n_ubatch: int = 0
    k_cache_dtype: str = "Q8_0"
    v_cache_dtype: str = "Q8_0"
    n_gpu_layers: int = 0
    n_threads: int = 0
    prefill_budget_ms: int = 75
    reuse_cache: bool = True
    prefix_wait_ms: int = 10_000
    n_checkpoints: int = 8
    prompt_cache_bytes: int = 0
    enable_embeddings: bool = False
    embedding_batch_tokens: int = 256
    pooling_type: str = "Last"
