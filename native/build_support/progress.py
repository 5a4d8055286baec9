"""Progress of a build, on a terminal or in a log.

pip captures what a build hook prints; so that a person still sees something
move, progress goes to the controlling terminal when standard error is none.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType

BAR_CELLS = 24
# A log gets a line whenever this much more of a step is done.
LOG_STEP_PERCENT = 10


class Progress:
    """Shows steps with a bar. Use as a context manager: it closes the terminal again."""

    def __init__(self) -> None:
        self._terminal: TextIO | None = None
        self._opened: TextIO | None = None
        self._last_drawn_s = 0.0
        self._last_logged_percent = -1
        self._step = ""

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._terminal = sys.stderr
        elif not os.environ.get("CI"):
            try:
                self._opened = open("/dev/tty", "w")  # closed in __exit__
            except OSError:
                return self
            self._terminal = self._opened
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._clear()
        if self._opened is not None:
            self._opened.close()
        self._terminal = self._opened = None

    def note(self, text: str) -> None:
        """One line that stays."""
        self._clear()
        print(f"paddler build: {text}", file=sys.stderr, flush=True)
        if self._opened is not None:
            print(f"paddler build: {text}", file=self._opened, flush=True)

    def step(self, name: str) -> None:
        """Starts a step whose progress follows."""
        self._step = name
        self._last_logged_percent = -1
        self._last_drawn_s = 0.0

    def at(self, done: int, total: int, detail: str = "") -> None:
        """Shows how far the current step is; cheap enough to be called often."""
        fraction = min(1.0, done / total) if total > 0 else 0.0
        if self._terminal is None:
            self._log(fraction)
            return
        now = time.monotonic()
        if now - self._last_drawn_s < 0.1 and fraction < 1.0:
            return
        self._last_drawn_s = now
        filled = round(fraction * BAR_CELLS)
        bar = "█" * filled + "·" * (BAR_CELLS - filled)
        line = f"{self._step}  {bar} {fraction:4.0%}  {detail}"
        width = _width(self._terminal)
        self._terminal.write(f"\r\x1b[K{line[: width - 1]}")
        self._terminal.flush()

    def _log(self, fraction: float) -> None:
        percent = int(fraction * 100) // LOG_STEP_PERCENT * LOG_STEP_PERCENT
        if percent > self._last_logged_percent:
            self._last_logged_percent = percent
            print(f"paddler build: {self._step} {percent} %", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._terminal is not None:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()


def _width(terminal: TextIO) -> int:
    try:
        return os.get_terminal_size(terminal.fileno()).columns or 80
    except OSError:
        return 80
