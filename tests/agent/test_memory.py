"""The default size of the prompt cache."""

from __future__ import annotations

from pathlib import Path

from paddler.agent.memory import available_memory_bytes, default_prompt_cache_bytes


def test_available_memory_is_what_the_kernel_says(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 99 kB\nMemAvailable:   2048 kB\nSwapFree: 1 kB\n")
    assert available_memory_bytes(meminfo) == 2048 * 1024


def test_without_the_kernels_word_half_of_the_installed_memory_counts(tmp_path: Path) -> None:
    assert available_memory_bytes(tmp_path / "none") > 0
    (tmp_path / "odd").write_text("MemAvailable:\n")
    assert available_memory_bytes(tmp_path / "odd") > 0


def test_the_default_is_a_bounded_share() -> None:
    assert default_prompt_cache_bytes(4000) == 1000
    assert default_prompt_cache_bytes(1 << 50) == 8 * 1024**3
