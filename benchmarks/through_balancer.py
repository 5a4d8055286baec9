"""The whole of Paddler against llama-server, and what the balancer itself can carry.

    python -m benchmarks.through_balancer [--quick] [--tables full_path capacity paced idle]

- `full_path`: HTTP to a balancer process, an agent process, the model, against
  one llama-server with the same slots and threads; and what they hold in memory.
- `capacity`: scripted agents send tokens as fast as one balancer process takes
  them, for 64 clients. Tokens per second of wall clock depend on what else the
  machine does; tokens per second of the balancer's CPU do not.
- `paced`: the same at 50 tokens/s per stream: the balancer's share of a core.
- `idle`: one request at a time to a scripted agent that answers at once: all
  of the time to first token is what balancer and link add.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec
import trio

from benchmarks.clients import RAW_PROMPT_PATH, paddler_stream
from benchmarks.fleet import Balancer, running_balancer, running_fleet
from benchmarks.model import EngineShape, add_model_options, chat_template, shape_from
from benchmarks.peers import llama_server
from benchmarks.processes import cpu_s, python_command, run_main, running, while_running
from benchmarks.streams import BalancerTarget, LlamaServerTarget, compare_streams
from benchmarks.tables import machine_line, markdown, median, milliseconds, percentile
from paddler.messages.state import DesiredState, ModelReference

_MIB = 1 << 20
_NO_HOST_MEMORY = ("--prompt-cache-mib", "0")
"""For conversations that lost their slot: llama-server has none, either."""
_SCRIPTED_STATE = DesiredState(model=ModelReference(LocalToAgent="/model.gguf"))
_LAYOUTS = ((1, 64), (8, 8), (64, 1))


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


async def full_path(arguments: argparse.Namespace, logs: Path) -> str:
    """The table of streams, and of resident memory after them."""
    shape: EngineShape = shape_from(arguments)
    async with (
        running_fleet(shape, logs, chat_template=chat_template(), agent_flags=_NO_HOST_MEMORY) as (
            balancer,
            (agent,),
        ),
        llama_server(shape, logs) as peer,
    ):
        compare = functools.partial(
            compare_streams,
            BalancerTarget(balancer.inference_url),
            LlamaServerTarget(peer.url),
            counts=arguments.streams,
            n_rounds=arguments.rounds,
            prompt_words=arguments.prompt_words,
            n_tokens=arguments.tokens,
            note=note,
        )
        table = await while_running([balancer.program, agent, peer.program], compare)
        memory = [
            ["agent", f"{agent.resident_bytes() / _MIB:.0f}"],
            ["llama-server", f"{peer.program.resident_bytes() / _MIB:.0f}"],
            ["balancer", f"{balancer.program.resident_bytes() / _MIB:.0f}"],
        ]
    return f"{shape.line()}.\n\n{table}\n" + markdown("Resident memory", ("", "MiB"), memory)


async def _flood(
    balancer: Balancer, logs: Path, *, layout: tuple[int, int], n_tokens: int, steps_per_s: float
) -> list[str]:
    n_agents, n_slots = layout
    command = python_command("benchmarks.scripted_agent")
    command += ["--management-port", str(balancer.management_port)]
    command += ["--agents", str(n_agents), "--slots", str(n_slots)]
    command += ["--tokens", str(n_tokens), "--steps-per-s", str(steps_per_s)]
    async with running(f"scripted-{n_agents}x{n_slots}", command, logs) as agents:
        await balancer.until_serving(n_agents)
        body = msgspec.json.encode({"raw_prompt": "Go on:", "max_tokens": n_tokens}).decode()
        client = python_command("benchmarks.counting_client", "--path", RAW_PROMPT_PATH)
        client += ["--port", balancer.inference_url.rpartition(":")[2], "--body", body]
        client += ["--streams", str(n_agents * n_slots)]
        cpu_before, began = cpu_s(balancer.program.pid), time.perf_counter()
        ended = await while_running(
            [agents, balancer.program],
            functools.partial(trio.run_process, client, capture_stdout=True),
        )
        seconds = time.perf_counter() - began
        used_s = cpu_s(balancer.program.pid) - cpu_before
    found = msgspec.json.decode(ended.stdout)
    n_received = int(found["n_tokens"])
    if n_received != n_tokens * n_agents * n_slots:
        note(f"only {n_received} of {n_tokens * n_agents * n_slots} tokens arrived")
    return [
        f"{n_agents} of {n_slots}",
        f"{n_received / found['seconds']:,.0f}",
        f"{n_received / used_s:,.0f}",
        f"{100 * used_s / seconds:.0f}",
        f"{n_received / found['n_reads']:.1f}",
        milliseconds(median(found["ttfts_s"])),
    ]


async def capacity(arguments: argparse.Namespace, logs: Path, *, steps_per_s: float) -> str:
    """The table of floods, each agent layout once."""
    rows = []
    async with running_balancer(logs) as balancer:
        await balancer.put_state(_SCRIPTED_STATE)
        for layout in _LAYOUTS:
            n_tokens = arguments.flood_tokens
            if steps_per_s:
                n_tokens = round(steps_per_s * arguments.paced_s)
            rows.append(
                await _flood(
                    balancer, logs, layout=layout, n_tokens=n_tokens, steps_per_s=steps_per_s
                )
            )
            note(f"{layout[0]} agents of {layout[1]} slots")
            await balancer.until_agents(0)
    pace = f"{steps_per_s:g} tokens/s each" if steps_per_s else "as fast as it goes"
    header = (
        "agents of slots",
        "tokens/s",
        "tokens per CPU second",
        "CPU %",
        "tokens per read",
        "TTFT ms, median",
    )
    return markdown(f"One balancer process, 64 streams, {pace}", header, rows)


async def idle(arguments: argparse.Namespace, logs: Path) -> str:
    """The time to first token that balancer and link add."""
    command = python_command("benchmarks.scripted_agent", "--agents", "1", "--slots", "8")
    ttfts_s = []
    async with running_balancer(logs) as balancer:
        await balancer.put_state(_SCRIPTED_STATE)
        command += ["--management-port", str(balancer.management_port), "--tokens", "0"]
        async with running("scripted-echo", command, logs):
            await balancer.until_serving(1)
            body = {"raw_prompt": "Go on:", "max_tokens": 1}
            cpu_before = cpu_s(balancer.program.pid)
            for _ in range(arguments.idle_requests):
                times = await paddler_stream(balancer.inference_url, RAW_PROMPT_PATH, body)
                ttfts_s.append(times.ttft_s)
            used_s = (cpu_s(balancer.program.pid) - cpu_before) / arguments.idle_requests
    settled = ttfts_s[len(ttfts_s) // 10 :]
    figures = (min(settled), median(settled), percentile(settled, 0.99), used_s)
    row = ["idle, one request at a time", *(milliseconds(figure) for figure in figures)]
    header = ("", "least ms", "median", "p99", "CPU ms per request")
    return markdown("Time to first token without a model, new connection included", header, [row])


async def run(arguments: argparse.Namespace) -> None:
    """Print the tables that are asked for."""
    logs = Path(tempfile.mkdtemp(prefix="paddler-bench-"))
    tables: dict[str, Callable[[], Coroutine[None, None, str]]] = {
        "full_path": lambda: full_path(arguments, logs),
        "capacity": lambda: capacity(arguments, logs, steps_per_s=0.0),
        "paced": lambda: capacity(arguments, logs, steps_per_s=50.0),
        "idle": lambda: idle(arguments, logs),
    }
    for name in arguments.tables:
        print(await tables[name](), flush=True)
    print(machine_line())


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_options(parser, n_slots=8, context=4096)
    names = ("full_path", "capacity", "paced", "idle")
    parser.add_argument("--tables", nargs="+", choices=names, default=list(names))
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64, help="generated per stream")
    parser.add_argument("--prompt-words", type=int, default=95)
    parser.add_argument("--flood-tokens", type=int, default=10_000, help="per stream")
    parser.add_argument("--paced-s", type=float, default=20.0)
    parser.add_argument("--idle-requests", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work at all")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.tokens, arguments.streams = 1, 8, [2]
        arguments.flood_tokens, arguments.paced_s, arguments.idle_requests = 500, 2.0, 50
    run_main(run, arguments)


if __name__ == "__main__":
    main()
