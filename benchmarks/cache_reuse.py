"""Is the state after reuse the state of an empty cache? Random conversations, for minutes.

    python -m benchmarks.cache_reuse [--minutes 10] [--seed 1] [--models plain gemma ...]

The short version is `tests/engine/test_cache_reuse.py`. Conversations of every
kind of model interleave, grow, are edited, regenerated, cancelled and evicted,
with no host memory, too little of it and plenty. Each answer is compared with
that of an engine that never reuses anything. Beyond the tolerance the program
ends with code 1 and the seed that shows it.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.processes import ProgramFailed, run_main
from benchmarks.tables import machine_line, markdown
from paddler.cli.embedded_model import embedded_model_path
from paddler.engine.requests import CacheKind
from tests.support.cache_reuse import (
    REAL_TRAFFIC,
    TINY_TRAFFIC,
    Traffic,
    TrafficShape,
    WrongState,
    open_pair,
)
from tests.support.tiny_models import tiny_hybrid, tiny_llama, tiny_mamba, tiny_sliding_window

ROUNDS_AT_A_TIME = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of model, and what its engines are opened with."""

    make: Callable[[Path], Path]
    traffic: TrafficShape
    n_slots: int = 3
    context_tokens: int = 640
    kv_dtype: str = "F32"
    prompt_cache_bytes: tuple[int, ...] = (0, 400_000, 4_000_000)


def _embedded(_: Path) -> Path:
    return embedded_model_path()


KINDS = {
    "plain": Kind(make=tiny_llama, traffic=TINY_TRAFFIC),
    "sliding-window": Kind(make=tiny_sliding_window, traffic=TINY_TRAFFIC),
    "recurrent": Kind(make=tiny_mamba, traffic=TINY_TRAFFIC),
    "hybrid": Kind(make=tiny_hybrid, traffic=TINY_TRAFFIC),
    "gemma": Kind(
        make=_embedded,
        traffic=REAL_TRAFFIC,
        context_tokens=1536,
        kv_dtype="F16",
        prompt_cache_bytes=(0, 60_000_000, 400_000_000),
    ),
}


@dataclasses.dataclass
class Figures:
    """What the rounds with one kind of model come to."""

    n_answers: int = 0
    n_cancelled: int = 0
    n_evictions: int = 0
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    worst: float = 0.0
    hits: dict[CacheKind, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(CacheKind, 0)
    )


async def converse(
    kind: Kind, path: Path, *, prompt_cache_bytes: int, seed: int, seconds: float, into: Figures
) -> None:
    """Random traffic for `seconds`; raises WrongState."""
    ends_at = time.monotonic() + seconds
    async with open_pair(
        path,
        n_slots=kind.n_slots,
        context_tokens=kind.context_tokens,
        prompt_cache_bytes=prompt_cache_bytes,
        kv_dtype=kind.kv_dtype,
    ) as (_, tested, reference):
        traffic = Traffic(tested, reference, kind.traffic, n_conversations=8, seed=seed)
        try:
            while time.monotonic() < ends_at:
                # One alone, as many as there are slots, and more than that.
                for n_together in (1, kind.n_slots, kind.n_slots + 2):
                    await traffic.run(ROUNDS_AT_A_TIME, n_together)
        finally:
            stats = tested.stats()
            into.n_answers += sum(traffic.hits.values())
            into.n_cancelled += traffic.n_cancelled
            into.n_evictions += stats.evictions
            into.n_prompt_tokens += stats.n_prompt_tokens
            into.n_cached_tokens += stats.n_cached_tokens
            into.worst = max(into.worst, traffic.worst)
            for where, n_hits in traffic.hits.items():
                into.hits[where] += n_hits


def _row(name: str, kind: Kind, figures: Figures) -> list[str]:
    return [
        name,
        str(figures.n_answers),
        *(str(figures.hits[where]) for where in CacheKind),
        str(figures.n_cancelled),
        str(figures.n_evictions),
        f"{100 * figures.n_cached_tokens / max(1, figures.n_prompt_tokens):.0f} %",
        f"{figures.worst:.4f}",
        f"{kind.traffic.tolerance:g}",
    ]


async def run(arguments: argparse.Namespace) -> None:
    """Print the table; raises ProgramFailed where a state was wrong."""
    directory = Path(tempfile.mkdtemp(prefix="paddler-bench-"))
    n_runs = sum(len(KINDS[name].prompt_cache_bytes) for name in arguments.models)
    seconds = 60.0 * arguments.minutes / n_runs
    rows = []
    seed = arguments.seed
    for name in arguments.models:
        kind, figures = KINDS[name], Figures()
        path = kind.make(directory / f"{name}.gguf")
        for prompt_cache_bytes in kind.prompt_cache_bytes:
            print(f"{name}, {prompt_cache_bytes} bytes, seed {seed}", file=sys.stderr, flush=True)
            try:
                await converse(
                    kind,
                    path,
                    prompt_cache_bytes=prompt_cache_bytes,
                    seed=seed,
                    seconds=seconds,
                    into=figures,
                )
            except WrongState as wrong:
                where = f"{name}, {prompt_cache_bytes} bytes of host memory, seed {seed}"
                raise ProgramFailed(f"{where}: {wrong}") from None
            seed += 1
        rows.append(_row(name, kind, figures))
    header = (
        "",
        "answers",
        *(f"from {where.name.lower()}" for where in CacheKind),
        "cancelled",
        "evictions",
        "prompt cached",
        "largest difference",
        "tolerance",
    )
    title = f"Log-probabilities after reuse against an empty cache, {arguments.minutes:g} minutes"
    print(markdown(title, header, rows))
    print(machine_line())


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--quick", action="store_true", help="half a minute: does it work at all")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes = 0.5
    run_main(run, arguments)


if __name__ == "__main__":
    main()
