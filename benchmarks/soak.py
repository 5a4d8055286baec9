"""Mixed traffic for a while: does anything leak, is any request left without an outcome?

    python -m benchmarks.soak --minutes 10

A balancer and two agents serve streams, conversations, sockets and embeddings;
clients leave in the middle, the state is swapped every half a minute, agents
are stopped, killed and started again. At the end the traffic stops, and what
the balancer and the agent that stayed then hold (tasks, descriptors, slots,
buffered requests, memory) is compared with what they held before. Exit code 1
if anything is wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import trio

from benchmarks.clients import RAW_PROMPT_PATH, paddler_stream
from benchmarks.fleet import (
    WATCHED,
    Balancer,
    agent_command,
    desired_state,
    running_balancer,
)
from benchmarks.model import EngineShape, add_model_options, chat_template, shape_from
from benchmarks.processes import (
    Program,
    n_descriptors,
    n_threads,
    resident_bytes,
    run_main,
    running,
    stop,
)
from benchmarks.soak_traffic import CLIENTS, CUT, HUNG, Outcomes
from benchmarks.tables import machine_line, markdown
from benchmarks.watched import VARIABLE
from paddler.messages.state import DesiredState

_MIB = 1 << 20
_SETTLE_S = 60.0
_EXIT_S = 5.0
_ALLOWED_GROWTH_MIB = {"the balancer": 10.0, "the agent": 64.0}
"""The agent's caches fill late, and its contexts differ in size with each swap."""
_SAMPLE_S = 1.0
_PROMPT_CACHE_MIB = 64
_SETTLED_SAMPLE_S = 0.5
_REFUSALS = {"502", "503", "504"}
"""What a request may get while agents come and go; anything else is a failure."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """What a process holds at a moment."""

    resident_mib: float
    descriptors: int
    threads: int
    tasks: int

    @classmethod
    def of(cls, program: Program, tasks: Path) -> Sample:
        """Read it from the kernel, and the tasks from the file that `watched` writes."""
        counted = tasks.read_text() if tasks.is_file() else ""
        return cls(
            resident_bytes(program.pid) / _MIB,
            n_descriptors(program.pid),
            n_threads(program.pid),
            int(counted or 0),
        )


@dataclasses.dataclass
class Watch:
    """A process that stays, and what it held over the time."""

    name: str
    program: Program
    tasks: Path
    samples: list[Sample] = dataclasses.field(default_factory=list)

    async def settled(self) -> Sample:
        """The least of several samples: our own requests must not count."""
        samples = []
        for _ in range(24):
            await trio.sleep(_SETTLED_SAMPLE_S)
            samples.append(Sample.of(self.program, self.tasks))
        return Sample(
            samples[-1].resident_mib,
            min(sample.descriptors for sample in samples),
            min(sample.threads for sample in samples),
            min(sample.tasks for sample in samples),
        )

    async def sample(self) -> None:
        """Look again and again."""
        while True:
            self.samples.append(Sample.of(self.program, self.tasks))
            await trio.sleep(_SAMPLE_S)

    @property
    def middle(self) -> Sample:
        """At half-time: caches have filled by then."""
        return self.samples[len(self.samples) // 2]

    def problems(self, before: Sample, after: Sample) -> Iterator[str]:
        """What grew; memory counts from the middle."""
        if after.tasks > before.tasks:
            yield f"{self.name} has {after.tasks - before.tasks} tasks more"
        if after.descriptors > before.descriptors:
            yield f"{self.name} has {after.descriptors - before.descriptors} descriptors more"
        growth_mib = after.resident_mib - self.middle.resident_mib
        if growth_mib > _ALLOWED_GROWTH_MIB[self.name]:
            yield f"{self.name} grew by {growth_mib:.0f} MiB in the second half"


@dataclasses.dataclass
class Soak:
    """One soak's parts and findings."""

    balancer: Balancer
    shape: EngineShape
    logs: Path
    arguments: argparse.Namespace
    agent_flags: Sequence[str]
    outcomes: Outcomes = dataclasses.field(default_factory=Outcomes)
    problems: list[str] = dataclasses.field(default_factory=list)
    n_swaps: int = 0
    n_agents_stopped: int = 0
    first_agent: Watch | None = None

    async def agent(self, number: int, source: random.Random) -> None:
        """Run one agent after the other, each for a while; the first one stays."""
        for generation in range(1_000_000):
            name = f"agent-{number}-{generation}"
            command = agent_command(self.balancer, self.shape, name, self.agent_flags, WATCHED)
            tasks = self.logs / f"{name}.tasks"
            environment = {VARIABLE: str(tasks)}
            async with running(name, command, self.logs, environment=environment) as program:
                if number == 1:
                    self.first_agent = Watch("the agent", program, tasks)
                    await self._stay(program)
                await trio.sleep(self.arguments.agent_s * source.uniform(0.5, 1.5))
                await self._end(program, is_killed=source.random() < 0.5)
            await trio.sleep(source.uniform(0.0, 5.0))

    async def _stay(self, program: Program) -> None:
        await program.process.wait()
        self.problems.append(str(program.failure("died")))
        await trio.sleep_forever()

    async def _end(self, program: Program, *, is_killed: bool) -> None:
        if program.process.returncode is not None:
            self.problems.append(str(program.failure("died")))
            return
        self.n_agents_stopped += 1
        if is_killed:
            program.process.kill()
            await program.process.wait()
        else:
            await self.stop_within_limit(program)

    async def stop_within_limit(self, program: Program) -> None:
        """Terminate; it has to be gone in time, with exit code 0."""
        began = trio.current_time()
        await stop(program.process)
        took_s = trio.current_time() - began
        if program.process.returncode != 0:
            self.problems.append(str(program.failure(f"exited {program.process.returncode}")))
        elif took_s > _EXIT_S:
            self.problems.append(f"{program.name} took {took_s:.1f} s to stop")

    async def swap(self, source: random.Random) -> None:
        """Change the desired state again and again: parameters that need a reload, or not."""
        while True:
            await trio.sleep(self.arguments.swap_s * source.uniform(0.5, 1.5))
            state = soak_state(self.shape)
            parameters = msgspec.structs.replace(
                state.inference_parameters,
                context_size=source.choice((1024, 2048)),
                temperature=source.choice((0.0, 0.8)),
            )
            await self.balancer.put_state(
                msgspec.structs.replace(state, inference_parameters=parameters)
            )
            self.n_swaps += 1

    async def traffic(self) -> None:
        """All clients, for the time that is asked for."""
        with trio.move_on_after(60 * self.arguments.minutes):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.swap, random.Random("swap"))
                for client, n_clients in CLIENTS:
                    for number in range(n_clients):
                        source = random.Random(f"{client.__name__} {number}")
                        url = self.balancer.inference_url
                        nursery.start_soon(client, url, self.outcomes, source)

    async def until_quiet(self) -> None:
        """Wait until nothing runs; a slot or waiter that stays is a leak."""
        shown = "nothing"
        with trio.move_on_after(_SETTLE_S):
            while True:
                agents = await self.balancer.agents()
                n_busy = sum(int(str(agent["slots_processing"])) for agent in agents)
                n_buffered = await self.balancer.n_buffered()
                if not n_busy and not n_buffered:
                    return
                shown = f"{n_busy} slots are taken, {n_buffered} requests wait"
                await trio.sleep(0.2)
        self.problems.append(f"without any client, {shown}")

    def judge_outcomes(self) -> None:
        """Note what became of requests that should not."""
        for (kind, outcome), count in sorted(self.outcomes.counts.items()):
            is_good = outcome in ("done", "left") or outcome in _REFUSALS
            is_good = outcome == "400" if kind == "nonsense" else is_good
            if not is_good or outcome in (HUNG, CUT):
                example = self.outcomes.examples.get((kind, outcome), "")
                self.problems.append(f"{count} of {kind} ended as {outcome}: {example}")


def soak_state(shape: EngineShape) -> DesiredState:
    """Generation and embeddings at once."""
    return desired_state(shape, chat_template=chat_template(), enable_embeddings=True)


async def soak(arguments: argparse.Namespace) -> list[str]:
    """Run it, print the tables, return the problems."""
    shape = shape_from(arguments)
    logs = Path(tempfile.mkdtemp(prefix="paddler-soak-"))
    print(f"Logs are in {logs}.", file=sys.stderr)
    agent_flags = ("--prompt-cache-mib", str(_PROMPT_CACHE_MIB))
    tasks = logs / "balancer.tasks"

    async with running_balancer(
        logs, flags=("--drain-timeout", "10000"), module=WATCHED, environment={VARIABLE: str(tasks)}
    ) as balancer:
        run = Soak(balancer, shape, logs, arguments, agent_flags)
        await balancer.put_state(soak_state(shape))
        async with trio.open_nursery() as steady:
            steady.start_soon(run.agent, 1, random.Random("agent 1"))
            await balancer.until_serving(1)
            await warm_up(balancer)
            assert run.first_agent is not None
            watches = [Watch("the balancer", balancer.program, tasks), run.first_agent]
            before = [await watch.settled() for watch in watches]
            async with trio.open_nursery() as churn:
                churn.start_soon(run.agent, 2, random.Random("agent 2"))
                for watch in watches:
                    churn.start_soon(watch.sample)
                await run.traffic()
                await run.until_quiet()
                churn.cancel_scope.cancel()
            await balancer.until_agents(1)
            after = [await watch.settled() for watch in watches]
            steady.cancel_scope.cancel()
        run.judge_outcomes()
        for watch, first, last in zip(watches, before, after, strict=True):
            run.problems.extend(watch.problems(first, last))
        await run.stop_within_limit(balancer.program)
    print(outcome_table(run, arguments.minutes))
    print(sample_table(watches, before, after))
    print(machine_line())
    return run.problems


async def warm_up(balancer: Balancer) -> None:
    """What is allocated once must not look like a leak."""
    for _ in range(5):
        body = {"raw_prompt": "Once upon a time", "max_tokens": 4}
        await paddler_stream(balancer.inference_url, RAW_PROMPT_PATH, body)


def outcome_table(run: Soak, minutes: float) -> str:
    """Every kind of request and what became of it."""
    counts = sorted(run.outcomes.counts.items())
    rows = [[kind, outcome, str(count)] for (kind, outcome), count in counts]
    title = (
        f"{minutes:g} minutes, {run.n_swaps} swaps, {run.n_agents_stopped} agents stopped or killed"
    )
    return markdown(title, ("requests", "outcome", "count"), rows)


def sample_table(
    watches: Sequence[Watch], before: Sequence[Sample], after: Sequence[Sample]
) -> str:
    """What each process held before, meanwhile and after."""
    rows = [
        [
            f"{watch.name}, {moment}",
            f"{sample.resident_mib:.1f}",
            str(sample.descriptors),
            str(sample.threads),
            str(sample.tasks),
        ]
        for watch, first, last in zip(watches, before, after, strict=True)
        for moment, sample in (("before", first), ("half-time", watch.middle), ("after", last))
    ]
    header = ("process", "resident MiB", "descriptors", "threads", "tasks")
    return markdown("What the processes hold", header, rows)


def main() -> None:
    """Parse the command line, run, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_options(parser, n_slots=2, context=2048)
    parser.set_defaults(threads=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--swap-s", type=float, default=30.0, help="mean time between swaps")
    parser.add_argument("--agent-s", type=float, default=45.0, help="mean life of the second agent")
    parser.add_argument("--quick", action="store_true", help="one minute: does it work at all")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes, arguments.swap_s, arguments.agent_s = 1.0, 15.0, 20.0
    problems = run_main(soak, arguments)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print(f"{len(problems)} problems." if problems else "No problems.")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
