"""Programs that a benchmark starts beside itself, and what the kernel says about them.

Everything listens on free ports of the loopback interface; what the programs
write goes to files. Linux only: the figures come from /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import trio

ROOT = Path(__file__).resolve().parent.parent
LOG_LINES_SHOWN = 15
STOP_TIMEOUT_S = 15.0
START_TIMEOUT_S = 120.0
_POLL_S = 0.1

Result = TypeVar("Result")


class ProgramFailed(Exception):
    """A program is missing, or ended before it was of use; the message says all there is."""


def run_main(
    run: Callable[[argparse.Namespace], Awaitable[Result]], arguments: argparse.Namespace
) -> Result:
    """Run a benchmark; a program that fails is an error in one line, not a traceback.

    SIGTERM ends it like Ctrl-C: with the programs that it started.
    """
    try:
        return trio.run(_until_terminated, run, arguments)
    except ProgramFailed as failed:
        sys.exit(f"error: {failed}")


async def _until_terminated(
    run: Callable[[argparse.Namespace], Awaitable[Result]], arguments: argparse.Namespace
) -> Result:
    results: list[Result] = []
    problem = "terminated"
    async with trio.open_nursery() as nursery:
        await nursery.start(_cancel_on_sigterm, nursery.cancel_scope)
        try:
            results.append(await run(arguments))
        except ProgramFailed as failed:
            problem = str(failed)
        nursery.cancel_scope.cancel()
    if not results:
        raise ProgramFailed(problem)
    return results[0]


async def _cancel_on_sigterm(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


class Program:
    """A running program; made by `running`."""

    def __init__(self, name: str, process: trio.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    async def wait_until_listening(self, port: int) -> None:
        """Wait until it accepts connections on `port`; raises ProgramFailed."""
        with trio.move_on_after(START_TIMEOUT_S):
            while self.process.returncode is None:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", port)
                except OSError:
                    await trio.sleep(_POLL_S)
                else:
                    await stream.aclose()
                    return
        raise self.failure("does not listen")

    async def fail_when_it_ends(self) -> None:
        """Wait until the process ends, and raise ProgramFailed."""
        await self.process.wait()
        raise self.failure(f"ended with {self.process.returncode}")

    def failure(self, what: str) -> ProgramFailed:
        """An error that says `what` and shows the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return ProgramFailed("\n  ".join([f"{self.name} {what}; the end of {self.log}:", *lines]))

    def resident_bytes(self) -> int:
        """Physical memory that it uses now (VmRSS)."""
        return resident_bytes(self.pid)


@contextlib.asynccontextmanager
async def running(
    name: str,
    command: Sequence[str],
    log_directory: Path,
    *,
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[Program, None]:
    """Run `command`; terminated at the end of the block, and killed if that does not help."""
    log = log_directory / f"{name}.log"
    with log.open("ab") as output:
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=None,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        )
    try:
        yield Program(name, process, log)
    finally:
        with trio.CancelScope(shield=True):
            await stop(process)


async def while_running(
    programs: Sequence[Program], action: Callable[[], Awaitable[Result]]
) -> Result:
    """What `action` returns; raises ProgramFailed as soon as one of the programs ends."""
    results = []
    try:
        async with trio.open_nursery() as nursery:
            for program in programs:
                nursery.start_soon(program.fail_when_it_ends)
            results.append(await action())
            nursery.cancel_scope.cancel()
    except* ProgramFailed as group:
        failure: BaseException = group
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        raise failure from None
    return results[0]


async def stop(process: trio.Process) -> bool:
    """Terminate and wait; returns whether that sufficed, or it had to be killed."""
    if process.returncode is None:
        process.terminate()
    with trio.move_on_after(STOP_TIMEOUT_S) as waiting:
        await process.wait()
    if waiting.cancelled_caught:
        process.kill()
        await process.wait()
    return not waiting.cancelled_caught


def resident_bytes(pid: int) -> int:
    """Physical memory of a process (VmRSS)."""
    return _status(pid, "VmRSS") * 1024


def n_threads(pid: int) -> int:
    """Threads of a process."""
    return _status(pid, "Threads")


def n_descriptors(pid: int) -> int:
    """Open file descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise LookupError(field)
