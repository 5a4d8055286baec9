"""`paddler demo` as a person runs it: a process of its own, with the real model."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 120
FREE_PORTS = ("--inference-addr", "127.0.0.1:0", "--management-addr", "127.0.0.1:0")


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The running demo; killed if the test leaves it behind."""
    command = [sys.executable, "-m", "paddler.cli.main", "demo", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What the demo writes to standard error, up to the line with `text`."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return seen
    pytest.fail(f"the demo ended without {text!r}: {seen}")


def test_once_prints_the_answer_alone_to_standard_output_and_exits(real_model_path: Path) -> None:
    with demo("--once", "--prompt", "Count to [three]", "--max-tokens", "12", *FREE_PORTS) as run:
        answer, shown = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 0, shown
    assert answer.strip()
    assert "Count to [three]" in shown
    assert re.search(r"\d+ tokens after \d+ of prompt", shown)
    assert "Serving" not in shown


def test_it_serves_what_the_curl_line_asks_until_ctrl_c(real_model_path: Path) -> None:
    with demo("--prompt", "It's a test", "--max-tokens", "4", *FREE_PORTS) as run:
        shown = read_until(run, "Serving until Ctrl-C")
        found = re.search(r"curl -N (\S+) -H '[^']*' -d '(.*)'$", shown, re.MULTILINE)
        assert found, shown
        url, body = found[1], found[2].replace("'\"'\"'", "'")
        answer = httpx.post(url, content=body, timeout=DEADLINE_S, trust_env=False)
        assert answer.status_code == 200
        last = json.loads(answer.text.splitlines()[-1])
        assert "Done" in last["Response"]["response"]["GeneratedToken"]
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=6) == 0


def test_ctrl_c_while_the_model_loads_ends_it_promptly(real_model_path: Path) -> None:
    with demo("--log-level", "info", *FREE_PORTS) as run:
        read_until(run, "agent_joined")
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=6) == 0


def test_an_address_in_use_is_one_line_that_names_the_flag(real_model_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with demo("--inference-addr", address, "--management-addr", "127.0.0.1:0") as run:
            _, shown = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 1
    (line,) = shown.strip().splitlines()
    assert "--inference-addr" in line
    assert address in line
