"""Whatever a slot is reused for, its state is that of an empty cache.

Exactly, up to the rounding of another batch shape, on tiny models in F32;
within a tolerance of log-probabilities on the real one. The long version is
`benchmarks/cache_reuse.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from paddler.engine.requests import CacheKind
from tests.support.cache_reuse import Traffic, open_pair
from tests.support.tiny_models import tiny_hybrid, tiny_llama, tiny_mamba, tiny_sliding_window

TIMEOUT_S = 120.0
CHARACTERS = list(range(265, 350))
WORDS = list(range(1000, 9000))

# Random weights amplify the rounding of another batch shape to at most 0.04
# (attention; 1e-5 with a recurrent state alone); a wrong state is off by 0.3 to 1.5.
TINY_TOLERANCE = 0.08
# Quantized weights: another batch shape alone moves log-probabilities by up to 3
# where the model is not quite sure. In another conversation's state it is sure
# of tokens that the right state finds impossible: a difference of almost 100.
REAL_TOLERANCE = 5.0
SURE = -3.0


@pytest.mark.parametrize("prompt_cache_bytes", [0, 40_000, 4_000_000])
@pytest.mark.parametrize(
    "make", [tiny_llama, tiny_sliding_window, tiny_mamba, tiny_hybrid], ids=lambda f: f.__name__
)
async def test_reuse_equals_an_empty_cache_on_tiny_models(
    tmp_path: Path, make: Callable[[Path], Path], prompt_cache_bytes: int
) -> None:
    path = make(tmp_path / "tiny.gguf")
    with trio.fail_after(TIMEOUT_S):
        async with open_pair(
            path,
            n_slots=3,
            context_tokens=640,
            prompt_cache_bytes=prompt_cache_bytes,
            kv_dtype="F32",
        ) as (_, tested, reference):
            traffic = Traffic(
                tested,
                reference,
                vocabulary=CHARACTERS,
                n_conversations=6,
                longest_tokens=450,
                tolerance=TINY_TOLERANCE,
                seed=11,
            )
            await traffic.run(n_rounds=30, n_together=2)
            stats = tested.stats()
    assert traffic.hits[CacheKind.SLOT] > 0
    assert stats.n_cached_tokens > 0.2 * stats.n_prompt_tokens
    if prompt_cache_bytes > 1_000_000:
        assert traffic.hits[CacheKind.RAM] > 0
    assert stats.prompt_cache_bytes <= prompt_cache_bytes


async def test_reuse_stays_within_rounding_on_the_real_model(real_model_path: Path) -> None:
    # Histories grow beyond the model's sliding window of 512 tokens.
    with trio.fail_after(TIMEOUT_S * 3):
        async with open_pair(
            real_model_path,
            n_slots=2,
            context_tokens=1536,
            prompt_cache_bytes=200_000_000,
            kv_dtype="F16",
        ) as (_, tested, reference):
            traffic = Traffic(
                tested,
                reference,
                vocabulary=WORDS,
                n_conversations=3,
                longest_tokens=900,
                tolerance=REAL_TOLERANCE,
                least_logprob=SURE,
                motif_tokens=8,
                longest_turn=40,
                first_tokens=450,
                seed=4,
            )
            await traffic.run(n_rounds=9, n_together=1)
            stats = tested.stats()
    assert stats.n_cached_tokens > 0.3 * stats.n_prompt_tokens
