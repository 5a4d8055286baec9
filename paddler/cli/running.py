"""Running a program: signals, deadlines, exit codes.

SIGINT and SIGTERM ask the program to stop; it has `STOP_TIMEOUT_S` to do so
before it is cancelled. A second signal cancels it at once.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import click
import trio

logger = logging.getLogger(__name__)

EXIT_FAILURE = 1
STOP_TIMEOUT_S = 4.5

Program = Callable[[trio.Event], Awaitable[None]]
"""Runs until the event it is given is set."""


def raise_open_file_limit() -> None:
    """Allow as many open files as the system lets us: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # some systems have a lower true limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_program(program: Program, expected_errors: tuple[type[Exception], ...]) -> None:
    """Run `program` under Trio and exit: 0 after a clean stop, 1 after a failure.

    Args:
        program: What to run.
        expected_errors: Failures that one line says all about; others are
            bugs, and get a traceback.
    """
    raise_open_file_limit()
    try:
        trio.run(_run_until_signalled, program)
    except BaseExceptionGroup as group:
        error = _only_error(group)
        if isinstance(error, expected_errors):
            raise click.ClickException(str(error)) from None
        raise
    except expected_errors as error:
        raise click.ClickException(str(error)) from None


async def _run_until_signalled(program: Program) -> None:
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_at_signal, signals, stop, nursery.cancel_scope)
            await program(stop)
            nursery.cancel_scope.cancel()


async def _stop_at_signal(
    signals: AsyncIterator[int], stop: trio.Event, scope: trio.CancelScope
) -> None:
    async for number in signals:
        name = signal.Signals(number).name
        if stop.is_set():
            logger.warning("stopping_at_once signal=%s", name)
            scope.cancel()
            return
        logger.info("stopping signal=%s", name)
        stop.set()
        scope.deadline = trio.current_time() + STOP_TIMEOUT_S


def _only_error(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def main_of(command: click.Command, program_name: str) -> None:
    """Parse `sys.argv`, run `command` and exit; every error is one line on stderr."""
    try:
        command.main(prog_name=program_name, standalone_mode=False)
    except click.ClickException as error:
        shown = " ".join(error.format_message().split())
        click.echo(f"{program_name}: {shown}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(EXIT_FAILURE)
    except Exception:
        logger.exception("program_failed")
        click.echo(f"{program_name}: an internal error; the lines above say where", err=True)
        sys.exit(EXIT_FAILURE)
