"""Pushing gauges to StatsD over real UDP."""

from __future__ import annotations

import logging

import pytest
import trio

from paddler.balancer.metrics.statsd import StatsdSettings, push_gauges

VALUES = {"slots_processing": 1, "slots_total": 4, "requests_buffered": 0}


async def bound_socket() -> trio.socket.SocketType:
    sock = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
    await sock.bind(("127.0.0.1", 0))
    return sock


def settings(port: int, host: str = "127.0.0.1") -> StatsdSettings:
    return StatsdSettings(host=host, port=port, prefix="paddler_", interval_s=0.05)


async def test_gauges_are_pushed_every_interval_with_the_prefix() -> None:
    server = await bound_socket()
    with trio.fail_after(5), server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push_gauges, settings(server.getsockname()[1]), lambda: VALUES)
            received = [await server.recv(512) for _ in range(6)]
            nursery.cancel_scope.cancel()
    assert sorted(received) == sorted(
        2
        * [
            b"paddler_slots_processing:1|g",
            b"paddler_slots_total:4|g",
            b"paddler_requests_buffered:0|g",
        ]
    )


async def test_an_unreachable_server_is_logged_once_and_never_fatal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = await bound_socket()
    port = server.getsockname()[1]
    server.close()
    with caplog.at_level(logging.WARNING), trio.move_on_after(0.5):
        await push_gauges(settings(port), lambda: VALUES)
    assert caplog.text.count("statsd_unreachable") == 1


async def test_a_server_that_comes_back_is_pushed_to_again() -> None:
    first = await bound_socket()
    port = first.getsockname()[1]
    first.close()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push_gauges, settings(port), lambda: VALUES)
            await trio.sleep(0.2)
            second = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
            with second:
                await second.bind(("127.0.0.1", port))
                assert (await second.recv(512)).startswith(b"paddler_")
            nursery.cancel_scope.cancel()


async def test_a_name_that_does_not_resolve_is_logged_and_never_fatal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING), trio.move_on_after(1):
        await push_gauges(settings(8125, "no.such.host.invalid"), lambda: VALUES)
    assert "no.such.host.invalid" in caplog.text
