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
from tests.support.cache_reuse import REAL_TRAFFIC, TINY_TRAFFIC, Traffic, open_pair
from tests.support.tiny_models import tiny_hybrid, tiny_llama, tiny_mamba, tiny_sliding_window

TIMEOUT_S = 120.0


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
            traffic = Traffic(tested, reference, TINY_TRAFFIC, n_conversations=6, seed=11)
            await traffic.run(n_rounds=30, n_together=2)
            stats = tested.stats()
    assert traffic.hits[CacheKind.SLOT] > 0
    assert stats.n_cached_tokens > 0.2 * stats.n_prompt_tokens
    if prompt_cache_bytes > 1_000_000:
        assert traffic.hits[CacheKind.RAM] > 0
    assert stats.prompt_cache_bytes <= prompt_cache_bytes


async def test_reuse_stays_within_rounding_on_the_real_model(real_model_path: Path) -> None:
    with trio.fail_after(TIMEOUT_S * 3):
        async with open_pair(
            real_model_path,
            n_slots=2,
            context_tokens=1536,
            prompt_cache_bytes=200_000_000,
            kv_dtype="F16",
        ) as (_, tested, reference):
            traffic = Traffic(tested, reference, REAL_TRAFFIC, n_conversations=3, seed=4)
            await traffic.run(n_rounds=9, n_together=1)
            stats = tested.stats()
    assert stats.n_cached_tokens > 0.3 * stats.n_prompt_tokens
