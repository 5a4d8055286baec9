"""Conversations that keep their KV cache, against the same without, and against llama-servers.

    python -m benchmarks.conversations [--quick] [--tables own aiperf unrelated]
                                       [--systems nginx vllm-router uncached paddler]

One after the other, with the same total of slots and threads:

- `nginx`: two llama-servers behind nginx, round robin;
- `vllm-router`: the same behind PyPI's vllm-router, cache-aware;
- `uncached`: two of our agents that keep nothing between requests;
- `paddler`: two of our agents.

llama-servers and agents get the same host memory for prompts. The tables:

- `own`: our client; no request says which conversation it belongs to;
- `aiperf`: the same traffic from PyPI's aiperf, through OpenAI's API everywhere;
- `unrelated`: traffic that shares no prefix, where keeping caches can only
  cost: `paddler` against `uncached`, in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from benchmarks.aiperf_client import AiperfFigures, aiperf_path, hold_with_aiperf
from benchmarks.chat_traffic import (
    Chat,
    OpenAiChat,
    PaddlerChat,
    Traffic,
    TrafficResult,
    hold_conversations,
)
from benchmarks.fleet import CLI, running_fleet
from benchmarks.model import EngineShape, add_model_options, chat_template, shape_from
from benchmarks.peers import PeerMissing, llama_server, nginx, vllm_router
from benchmarks.processes import Program, n_cores, run_main, while_running
from benchmarks.streams import BalancerTarget, compare_streams
from benchmarks.tables import machine_line, markdown, median, milliseconds, percentile, ratio

N_WORKERS = 2
UNCACHED = "benchmarks.uncached_agent"
SYSTEMS = ("nginx", "vllm-router", "uncached", "paddler")
TABLES = ("own", "aiperf", "unrelated")


@dataclasses.dataclass(frozen=True)
class System:
    """A running system; its programs, and where its OpenAI-compatible service is."""

    chat: Chat
    openai_url: str
    programs: list[Program]


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def routed_llama_servers(
    router: str, shape: EngineShape, logs: Path, *, prompt_cache_mib: int
) -> AsyncGenerator[System, None]:
    """Two llama-servers behind a router."""
    template = logs / "template.jinja"
    template.write_text(chat_template())
    async with contextlib.AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(
                llama_server(
                    shape,
                    logs,
                    name=f"llama-server-{router}-{number + 1}",
                    chat_template=template,
                    prompt_cache_mib=prompt_cache_mib,
                )
            )
            for number in range(N_WORKERS)
        ]
        front = nginx if router == "nginx" else vllm_router
        peer = await stack.enter_async_context(front(workers, logs))
        programs = [peer.program, *(worker.program for worker in workers)]
        yield System(OpenAiChat(peer.url), peer.url, programs)


@contextlib.asynccontextmanager
async def our_fleet(
    shape: EngineShape, logs: Path, *, prompt_cache_mib: int, is_cached: bool
) -> AsyncGenerator[System, None]:
    """A balancer and two agents."""
    flags = ("--prompt-cache-mib", str(prompt_cache_mib)) if is_cached else ()
    async with running_fleet(
        shape,
        logs,
        n_agents=N_WORKERS,
        agent_flags=flags,
        agent_module=CLI if is_cached else UNCACHED,
        chat_template=chat_template(),
    ) as (balancer, agents):
        chat = PaddlerChat(balancer.inference_url)
        yield System(chat, balancer.openai_url, [balancer.program, *agents])


def system_named(
    name: str, shape: EngineShape, logs: Path, prompt_cache_mib: int
) -> Callable[[], contextlib.AbstractAsyncContextManager[System]]:
    """How to start one of `SYSTEMS`."""
    if name in ("nginx", "vllm-router"):
        return functools.partial(
            routed_llama_servers, name, shape, logs, prompt_cache_mib=prompt_cache_mib
        )
    return functools.partial(
        our_fleet,
        shape,
        logs,
        prompt_cache_mib=prompt_cache_mib,
        is_cached=name == "paddler",
    )


async def own_table(
    arguments: argparse.Namespace, traffic: Traffic, shape: EngineShape, logs: Path
) -> str:
    """Hold the conversations with every system."""
    results: dict[str, TrafficResult] = {}
    for name in arguments.systems:
        note(f"starting {name}")
        start = system_named(name, shape, logs, arguments.prompt_cache_mib)
        try:
            async with start() as system:
                hold = functools.partial(hold_conversations, system.chat, traffic, note)
                results[name] = await while_running(system.programs, hold)
        except PeerMissing as missing:
            note(f"left out: {missing}")
    ours = results.get("paddler")
    rows = [_row(name, result, ours) for name, result in results.items()]
    header = (
        "",
        "TTFT ms, median",
        "TTFT ms, p95",
        "median from turn 2",
        "prompt cached",
        "tokens/s",
        "seconds in all",
        "failed",
        "paddler's median TTFT / this",
    )
    failures = sorted({failure for result in results.values() for failure in result.failures})
    title = _title(traffic, shape, arguments, "our client")
    return markdown(title, header, rows) + "".join(f"\n{failure}" for failure in failures)


def _title(traffic: Traffic, shape: EngineShape, arguments: argparse.Namespace, client: str) -> str:
    return (
        f"{traffic.n_conversations} conversations of {traffic.n_turns} turns, {client}, "
        f"{N_WORKERS} workers of {shape.n_slots} slots, "
        f"{arguments.prompt_cache_mib} MiB for prompts each"
    )


def _row(name: str, result: TrafficResult, ours: TrafficResult | None) -> list[str]:
    ttfts_s = result.ttfts_s()
    return [
        name,
        milliseconds(median(ttfts_s)),
        milliseconds(percentile(ttfts_s, 0.95)),
        milliseconds(median(result.ttfts_s(first_turn=1))),
        f"{100 * result.cached_share:.0f} %",
        f"{result.tokens_per_s:.1f}",
        f"{result.took_s:.0f}",
        str(result.n_failed),
        ratio(median(ours.ttfts_s()), median(ttfts_s)) if ours is not None else "-",
    ]


async def aiperf_table(
    arguments: argparse.Namespace, traffic: Traffic, shape: EngineShape, logs: Path
) -> str:
    """The same traffic from somebody else's client."""
    try:
        aiperf_path()
    except PeerMissing as missing:
        note(f"left out: {missing}")
        return ""
    results: dict[str, AiperfFigures] = {}
    for name in arguments.systems:
        note(f"starting {name}")
        start = system_named(name, shape, logs, arguments.prompt_cache_mib)
        try:
            async with start() as system:
                directory = logs / f"aiperf-{name}"
                hold = functools.partial(hold_with_aiperf, system.openai_url, traffic, directory)
                results[name] = await while_running(system.programs, hold)
        except PeerMissing as missing:
            note(f"left out: {missing}")
    ours = results.get("paddler")
    rows = [_aiperf_row(name, result, ours) for name, result in results.items()]
    header = (
        "",
        "TTFT ms, median",
        "TTFT ms, p95",
        "prompt cached",
        "tokens/s",
        "seconds in all",
        "answers",
        "failed",
        "paddler's median TTFT / this",
    )
    return markdown(_title(traffic, shape, arguments, "aiperf"), header, rows)


def _aiperf_row(name: str, figures: AiperfFigures, ours: AiperfFigures | None) -> list[str]:
    return [
        name,
        milliseconds(figures.ttft_median_s),
        milliseconds(figures.ttft_p95_s),
        f"{100 * figures.cached_share:.0f} %",
        f"{figures.tokens_per_s:.1f}",
        f"{figures.took_s:.0f}",
        str(figures.n_answers),
        str(figures.n_failed),
        ratio(ours.ttft_median_s, figures.ttft_median_s) if ours is not None else "-",
    ]


async def unrelated_table(arguments: argparse.Namespace, shape: EngineShape, logs: Path) -> str:
    """Prompts that share nothing, against our own agents without caching."""
    cached = system_named("paddler", shape, logs, arguments.prompt_cache_mib)
    other_logs = logs / "uncached"
    other_logs.mkdir()
    uncached = system_named("uncached", shape, other_logs, 0)
    async with cached() as ours, uncached() as theirs:
        assert isinstance(ours.chat, PaddlerChat)
        assert isinstance(theirs.chat, PaddlerChat)
        compare = functools.partial(
            compare_streams,
            BalancerTarget(ours.chat.url),
            BalancerTarget(theirs.chat.url, name="paddler, uncached"),
            counts=[N_WORKERS * shape.n_slots],
            n_rounds=arguments.rounds,
            prompt_words=400,
            n_tokens=32,
            note=note,
        )
        return await while_running([*ours.programs, *theirs.programs], compare)


async def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    shape = shape_from(arguments)
    traffic = Traffic(
        n_conversations=arguments.conversations,
        n_turns=arguments.turns,
        think_s=arguments.think_s,
    )
    logs = Path(tempfile.mkdtemp(prefix="paddler-bench-"))
    print(f"Each worker: {shape.line()}.\n")
    if "own" in arguments.tables:
        print(await own_table(arguments, traffic, shape, logs), flush=True)
    if "aiperf" in arguments.tables:
        print(await aiperf_table(arguments, traffic, shape, logs), flush=True)
    if "unrelated" in arguments.tables:
        print(await unrelated_table(arguments, shape, logs), flush=True)
    print(machine_line())


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_options(parser, n_slots=2, context=2048)
    parser.set_defaults(threads=max(1, n_cores() // N_WORKERS))
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--conversations", type=int, default=24)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--think-s", type=float, default=10.0)
    parser.add_argument("--prompt-cache-mib", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5, help="of the table on unrelated prompts")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work at all")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.conversations, arguments.turns, arguments.think_s = 2, 2, 0.1
        arguments.rounds = 1
    run_main(run, arguments)


if __name__ == "__main__":
    main()
