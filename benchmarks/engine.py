"""Our engine against llama-server, on the same machine in the same run.

    python -m benchmarks.engine [--quick] [--tables streams long_prompt ticker]

Both run the same source of llama.cpp with the same model, slots, threads, KV
types and batch sizes; our engine is in this process, llama-server is asked over
the loopback interface. Prompt caches are off on both sides. See
docs/benchmarks.md for how to read the tables.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import trio

from benchmarks.long_prompts import compare_long_prompts
from benchmarks.model import EngineShape, add_model_options, shape_from
from benchmarks.peers import llama_server
from benchmarks.processes import run_main
from benchmarks.prompts import words
from benchmarks.streams import (
    EngineTarget,
    LlamaServerTarget,
    compare_streams,
    simultaneous,
)
from benchmarks.tables import machine_line, markdown, median, milliseconds, percentile
from paddler.engine import Engine

TABLES = ("streams", "long_prompt", "ticker")


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


async def stalls_beside_decoding(
    engine: Engine, *, n_streams: int, n_tokens: int, tick_s: float
) -> list[float]:
    """How late each tick of a Trio ticker was (seconds) while `n_streams` decode."""
    late_s: list[float] = []

    async def tick() -> None:
        while True:
            due = trio.current_time() + tick_s
            await trio.sleep_until(due)
            late_s.append(trio.current_time() - due)

    target = EngineTarget(engine)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        prompts = [words(20, f"ticker {number}") for number in range(n_streams)]
        await simultaneous(target, prompts, n_tokens)
        nursery.cancel_scope.cancel()
    return late_s


async def ticker_table(engine: Engine, shape: EngineShape, *, n_tokens: int) -> str:
    """The stalls, idle and beside all slots decoding."""
    tick_s = 0.001
    header = ("Trio ticker, every 1 ms", "ticks", "late ms, median", "p99", "largest")
    rows = []
    for name, n_streams in (("1 slot decodes", 1), (f"{shape.n_slots} decode", shape.n_slots)):
        late_s = await stalls_beside_decoding(
            engine, n_streams=n_streams, n_tokens=n_tokens, tick_s=tick_s
        )
        figures = (median(late_s), percentile(late_s, 0.99), max(late_s))
        rows.append([name, str(len(late_s)), *(milliseconds(figure) for figure in figures)])
    return markdown("Stalls of the event loop beside the engine", header, rows)


async def tables_against_peer(
    engine: Engine, shape: EngineShape, arguments: argparse.Namespace, logs: Path
) -> None:
    """Print those that need llama-server."""
    async with llama_server(shape, logs) as peer:
        ours, theirs = EngineTarget(engine), LlamaServerTarget(peer.url)
        if "streams" in arguments.tables:
            table = await compare_streams(
                ours,
                theirs,
                counts=arguments.streams,
                n_rounds=arguments.rounds,
                prompt_words=arguments.prompt_words,
                n_tokens=arguments.tokens,
                note=note,
            )
            print(table, flush=True)
        if "long_prompt" in arguments.tables:
            table = await compare_long_prompts(
                ours,
                theirs,
                n_rounds=arguments.rounds,
                prompt_words=arguments.long_prompt_words,
                note=note,
            )
            print(table, flush=True)


async def run(arguments: argparse.Namespace) -> None:
    """Print the tables that are asked for."""
    shape = shape_from(arguments)
    logs = Path(tempfile.mkdtemp(prefix="paddler-bench-"))
    print(f"{shape.line()}, prefill budget {arguments.prefill_budget_ms} ms.\n")
    settings = shape.settings(prefill_budget_ms=arguments.prefill_budget_ms)
    async with Engine.open(shape.model, settings) as engine:
        if {"streams", "long_prompt"} & set(arguments.tables):
            await tables_against_peer(engine, shape, arguments, logs)
        if "ticker" in arguments.tables:
            print(await ticker_table(engine, shape, n_tokens=arguments.tokens), flush=True)
    print(machine_line())


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_options(parser, n_slots=8, context=6144)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64, help="generated per stream")
    parser.add_argument("--prompt-words", type=int, default=95)
    parser.add_argument("--long-prompt-words", type=int, default=3990)
    parser.add_argument("--prefill-budget-ms", type=int, default=75)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work at all")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.tokens, arguments.streams = 1, 8, [1, 2]
        arguments.long_prompt_words = 300
    run_main(run, arguments)


if __name__ == "__main__":
    main()
