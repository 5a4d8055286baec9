"""Logging: one format for every program.

`2026-11-23T16:40:02.118Z INFO balancer.fleet.fleet agent_joined agent=a1 slots=4`
"""

from __future__ import annotations

import logging
import sys
import time

from typing_extensions import override

LEVELS = ("debug", "info", "warning", "error")


class OneLineFormatter(logging.Formatter):
    """Time in UTC, level, logger without the package's name, event with its values."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(shortname)s %(message)s")

    @override
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """The time with milliseconds."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, without a traceback; line ends within values are written as `\\n`."""
        record.shortname = record.name.removeprefix("paddler.")
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")


def set_up_logging(level: str) -> None:
    """Write Paddler's log to stderr from `level` on, other packages' from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("paddler").setLevel(level.upper())
