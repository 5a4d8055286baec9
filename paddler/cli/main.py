"""Entry points of the programs: `paddler`, `paddler-balancer`, `paddler-agent`.

What they need takes a second to import, more on a busy machine. A signal in
that time ends the program like one that comes later: quietly, with exit code
0. So nothing is imported here before `_end_quietly_on_signals` was called;
`running` takes the signals over.
"""

from __future__ import annotations

import os
import signal

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Entry point of `paddler`."""
    _end_quietly_on_signals()
    from paddler.cli.commands import paddler
    from paddler.cli.running import main_of

    main_of(paddler, "paddler")


def balancer_main() -> None:
    """Entry point of `paddler-balancer`."""
    _main_of_command("balancer")


def agent_main() -> None:
    """Entry point of `paddler-agent`."""
    _main_of_command("agent")


def _main_of_command(name: str) -> None:
    _end_quietly_on_signals()
    from paddler.cli.commands import load_command
    from paddler.cli.running import main_of

    main_of(load_command(name), f"paddler-{name}")


def _end_quietly_on_signals() -> None:
    """Until Trio runs there is nothing to clean up, and nobody to raise an exception at."""
    for number in _ENDING_SIGNALS:
        signal.signal(number, lambda number, frame: os._exit(0))


if __name__ == "__main__":
    main()
