"""Pushes the contract's gauges to a StatsD server over UDP at an interval.

Whatever happens on the way there is logged and tried again; it never reaches
anybody else. Name lookups happen in a thread, so that none of it blocks Trio.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping

import statsd
import trio

logger = logging.getLogger(__name__)

RETRY_INTERVAL_S = 30.0
"""Between two attempts to find a server that was not found."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatsdSettings:
    """Where, how often and under which names gauges are pushed."""

    host: str
    port: int
    prefix: str
    interval_s: float


class _Client(statsd.StatsClient):  # type: ignore[misc]  # the package has no types
    """A client that says when the server cannot be reached, once per outage.

    The socket is connected, so that the kernel reports a closed port, and never
    blocks: a datagram that does not fit its buffer is dropped.
    """

    def __init__(self, settings: StatsdSettings) -> None:
        super().__init__(settings.host, settings.port, ipv6=":" in settings.host)
        self._is_reachable = True
        self._n_failures = 0
        self._settings = settings
        self._sock.setblocking(False)
        self._sock.connect(self._addr)

    def _send(self, data: str) -> None:
        try:
            self._sock.send(data.encode("ascii"))
        except OSError as error:
            self._n_failures += 1
            if self._is_reachable:
                _log_unreachable(self._settings, error)
            self._is_reachable = False

    def end_round(self) -> None:
        """All gauges were sent; a refusal arrives with the datagram after the refused one."""
        self._is_reachable = self._n_failures == 0
        self._n_failures = 0


async def push_gauges(
    settings: StatsdSettings, read_gauges: Callable[[], Mapping[str, int]]
) -> None:
    """Push the gauges every interval, for ever."""
    while True:
        try:
            client = await trio.to_thread.run_sync(_Client, settings, abandon_on_cancel=True)
        except OSError as error:
            _log_unreachable(settings, error)
            await trio.sleep(RETRY_INTERVAL_S)
            continue
        with contextlib.closing(client):
            while True:
                for name, value in read_gauges().items():
                    client.gauge(settings.prefix + name, value)
                client.end_round()
                await trio.sleep(settings.interval_s)


def _log_unreachable(settings: StatsdSettings, error: OSError) -> None:
    logger.warning(
        "statsd_unreachable host=%s port=%d error=%s", settings.host, settings.port, error
    )
