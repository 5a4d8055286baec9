"""Conversations that keep their KV cache, against the same without, and against llama-servers.

    python -m benchmarks.conversations [--quick] [--systems nginx vllm-router uncached paddler]

One after the other, with the same total of slots and threads:

- `nginx`: two llama-servers behind nginx, round robin;
- `vllm-router`: the same behind PyPI's vllm-router, cache-aware;
- `uncached`: two of our agents that keep nothing between requests;
- `paddler`: two of our agents.

llama-servers and agents get the same host memory for prompts. `--unrelated`
adds a table on traffic that shares no prefix, where keeping caches can only
cost: `paddler` against `uncached`, in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

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


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def routed_llama_servers(
    router: str, shape: EngineShape, logs: Path, *, prompt_cache_mib: int
) -> AsyncGenerator[tuple[Chat, list[Program]], None]:
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
        yield OpenAiChat(peer.url), [peer.program, *(worker.program for worker in workers)]


@contextlib.asynccontextmanager
async def our_fleet(
    shape: EngineShape, logs: Path, *, prompt_cache_mib: int, is_cached: bool
) -> AsyncGenerator[tuple[Chat, list[Program]], None]:
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
        yield PaddlerChat(balancer.inference_url), [balancer.program, *agents]


def system_named(
    name: str, shape: EngineShape, logs: Path, prompt_cache_mib: int
) -> Callable[[], contextlib.AbstractAsyncContextManager[tuple[Chat, list[Program]]]]:
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


async def conversations_table(arguments: argparse.Namespace, shape: EngineShape, logs: Path) -> str:
    """Hold the conversations with every system."""
    traffic = Traffic(
        n_conversations=arguments.conversations,
        n_turns=arguments.turns,
        think_s=arguments.think_s,
    )
    results: dict[str, TrafficResult] = {}
    for name in arguments.systems:
        note(f"starting {name}")
        start = system_named(name, shape, logs, arguments.prompt_cache_mib)
        try:
            async with start() as (chat, programs):
                hold = functools.partial(hold_conversations, chat, traffic, note)
                results[name] = await while_running(programs, hold)
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
    title = (
        f"{traffic.n_conversations} conversations of {traffic.n_turns} turns, "
        f"{N_WORKERS} workers of {shape.n_slots} slots, "
        f"{arguments.prompt_cache_mib} MiB for prompts each"
    )
    failures = sorted({failure for result in results.values() for failure in result.failures})
    return markdown(title, header, rows) + "".join(f"\n{failure}" for failure in failures)


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


async def unrelated_table(arguments: argparse.Namespace, shape: EngineShape, logs: Path) -> str:
    """Prompts that share nothing, against our own agents without caching."""
    cached = system_named("paddler", shape, logs, arguments.prompt_cache_mib)
    other_logs = logs / "uncached"
    other_logs.mkdir()
    uncached = system_named("uncached", shape, other_logs, 0)
    async with cached() as (ours, our_programs), uncached() as (theirs, their_programs):
        assert isinstance(ours, PaddlerChat)
        assert isinstance(theirs, PaddlerChat)
        compare = functools.partial(
            compare_streams,
            BalancerTarget(ours.url),
            BalancerTarget(theirs.url, name="paddler, uncached"),
            counts=[N_WORKERS * shape.n_slots],
            n_rounds=arguments.rounds,
            prompt_words=400,
            n_tokens=32,
            note=note,
        )
        return await while_running([*our_programs, *their_programs], compare)


async def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    shape = shape_from(arguments)
    logs = Path(tempfile.mkdtemp(prefix="paddler-bench-"))
    print(f"Each worker: {shape.line()}.\n")
    print(await conversations_table(arguments, shape, logs), flush=True)
    if arguments.unrelated:
        print(await unrelated_table(arguments, shape, logs), flush=True)
    print(machine_line())


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_options(parser, n_slots=2, context=2048)
    parser.set_defaults(threads=max(1, n_cores() // N_WORKERS))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--conversations", type=int, default=24)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--think-s", type=float, default=10.0)
    parser.add_argument("--prompt-cache-mib", type=int, default=2048)
    parser.add_argument("--unrelated", action="store_true")
    parser.add_argument("--rounds", type=int, default=5, help="of the table on unrelated prompts")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work at all")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.conversations, arguments.turns, arguments.think_s = 2, 2, 0.1
        arguments.rounds = 1
    run_main(run, arguments)


if __name__ == "__main__":
    main()
