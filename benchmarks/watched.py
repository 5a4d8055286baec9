"""`paddler balancer` or `paddler agent`, whose living Trio tasks are counted into a file.

The file is named by the variable `PADDLER_BENCH_TASKS`; it holds one number and
is written before the program waits for I/O, at most twice a second.
"""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path

import trio
from typing_extensions import override

from paddler.cli.main import main

VARIABLE = "PADDLER_BENCH_TASKS"
_INTERVAL_S = 0.5


class TaskCounter(trio.abc.Instrument):
    """Writes how many tasks live."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written_at = 0.0

    @override
    def before_io_wait(self, timeout: float) -> None:
        now = time.monotonic()
        if now - self._written_at >= _INTERVAL_S:
            self._written_at = now
            # Replaced at once: who reads meanwhile must not find it empty.
            fresh = self._path.with_suffix(".new")
            fresh.write_text(str(trio.lowlevel.current_statistics().tasks_living))
            fresh.replace(self._path)


if __name__ == "__main__":
    counter = TaskCounter(Path(os.environ[VARIABLE]))
    setattr(trio, "run", functools.partial(trio.run, instruments=[counter]))  # noqa: B010 - mypy
    main()
