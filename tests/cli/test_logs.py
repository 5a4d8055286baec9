"""The format of log lines."""

from __future__ import annotations

import logging
import re

from paddler.cli.logs import OneLineFormatter


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(
        "paddler.balancer.fleet", logging.INFO, __file__, 1, message, args, None
    )


def test_a_line_has_time_level_part_and_event() -> None:
    line = OneLineFormatter().format(record("agent_joined agent=%s slots=%d", "a1", 4))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z INFO balancer\.fleet agent_joined agent=a1 slots=4",
        line,
    )


def test_a_value_with_line_ends_stays_on_its_line() -> None:
    line = OneLineFormatter().format(record("generation_failed error=%s", "one\r\ntwo"))
    assert line.endswith(r"generation_failed error=one\r\ntwo")
