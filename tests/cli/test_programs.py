"""The programs as processes: exit codes, one-line errors, signals."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.serving.listeners import ListenAddress, open_listeners

EVERYWHERE_FREE = ("--inference-addr=127.0.0.1:0", "--management-addr=127.0.0.1:0")


def paddler(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "paddler.cli.main", *arguments]


async def finish(arguments: Sequence[str]) -> tuple[int, str, str]:
    with trio.fail_after(20):
        done = await trio.run_process(
            paddler(*arguments), capture_stdout=True, capture_stderr=True, check=False
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--help",), "Self-hosted LLM serving"),
        (("balancer", "--help"), "PADDLER_BALANCER_INFERENCE_ADDR"),
        (("agent", "--help"), "PADDLER_AGENT_SLOTS"),
        (("--version",), "paddler"),
        (("balancer", "--version"), "paddler-balancer"),
    ],
)
async def test_help_and_version_go_to_stdout(arguments: tuple[str, ...], word: str) -> None:
    code, stdout, stderr = await finish(arguments)
    assert (code, stderr) == (0, "")
    assert word in stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nonsense",), ["nonsense"]),
        (("balancer", "--nonsense"), ["--nonsense"]),
        (("balancer", "--inference-addr", "nowhere"), ["--inference-addr", "host:port"]),
        (("balancer", "--max-buffered-requests", "-1"), ["--max-buffered-requests"]),
        (("agent",), ["--management-addr"]),
        (("agent", "--management-addr", "127.0.0.1:1", "--slots", "0"), ["--slots"]),
    ],
)
async def test_bad_usage_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], words: list[str]
) -> None:
    code, _, stderr = await finish(arguments)
    assert code == 2
    assert len(stderr.splitlines()) == 1
    for word in words:
        assert word in stderr


async def test_an_address_in_use_is_one_line_and_exit_code_1() -> None:
    taken = await open_listeners(ListenAddress("--x", "127.0.0.1", 0), EdgeLimits())
    address = f"127.0.0.1:{taken.addresses[0][1]}"
    code, _, stderr = await finish(
        ("balancer", "--inference-addr=127.0.0.1:0", f"--management-addr={address}")
    )
    taken.close()
    assert code == 1
    assert len(stderr.splitlines()) == 1
    assert "--management-addr" in stderr
    assert address in stderr


@pytest.mark.parametrize("url", ["nonsense", "file://", "http://x/y"])
async def test_a_bad_state_database_is_one_line_and_exit_code_1(url: str) -> None:
    code, _, stderr = await finish(("balancer", *EVERYWHERE_FREE, f"--state-database={url}"))
    assert code == 1
    assert len(stderr.splitlines()) == 1
    assert url in stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_the_balancer_cleanly(number: signal.Signals) -> None:
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            functools.partial(
                trio.run_process,
                paddler("balancer", *EVERYWHERE_FREE),
                stderr=subprocess.PIPE,
            )
        )
        log = b""
        with trio.fail_after(20):
            while log.count(b"service_started") < 2:
                log += await process.stderr.receive_some()
        os.kill(process.pid, number)
        with trio.fail_after(5):
            assert await process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_while_the_program_is_only_being_imported_ends_it_quietly(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "click.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(60)\n"
    )
    with trio.fail_after(20):
        done = await trio.run_process(
            paddler("balancer"),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
