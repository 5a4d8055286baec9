"""Balancer and agents as real processes, as a user starts them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from paddler.messages.state import (
    ChatTemplate,
    DesiredState,
    InferenceParameters,
    ModelReference,
)

START_TIMEOUT_S = 30.0
LOAD_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0

GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def wait_for(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Look again and again until `condition` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.02)


class Program:
    """One process with its log in a file.

    It has a process group and a folder for temporary files of its own, so that
    what it leaves behind shows.
    """

    def __init__(self, arguments: list[str], log: Path, **variables: str) -> None:
        self._log = log
        self._temporary = log.with_suffix(".tmp")
        self._temporary.mkdir()
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "paddler.cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                env={
                    **os.environ,
                    "TMPDIR": str(self._temporary),
                    "PYTHONWARNINGS": "always::ResourceWarning",
                    **variables,
                },
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def has_logged(self, text: str) -> bool:
        assert self.process.poll() is None, self.log
        return text in self.log

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; exit code and how long it took, in seconds."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(STOP_TIMEOUT_S + 1)
        finally:
            self.process.kill()
            self.process.wait()
        return code, time.monotonic() - began

    def assert_nothing_is_left(self) -> None:
        """It ended in order: no traceback, no unclosed socket, no file, no child."""
        assert "Traceback" not in self.log, self.log
        assert "ResourceWarning" not in self.log, self.log
        assert list(self._temporary.iterdir()) == []
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)


class RealBalancer(Program):
    """A balancer and where it listens."""

    def __init__(self, log: Path, *flags: str, management_port: int = 0) -> None:
        address = f"--management-addr=127.0.0.1:{management_port}"
        super().__init__(["balancer", "--inference-addr=127.0.0.1:0", address, *flags], log)
        self._http = httpx.Client(trust_env=False, timeout=30)

    def wait_until_started(self) -> None:
        wait_for(
            lambda: self.has_logged("service_started service=management"),
            START_TIMEOUT_S,
            "the balancer's start",
        )
        self.inference_url = self.url("inference")
        self.management_url = self.url("management")

    def url(self, service: str) -> str:
        """Where a service is; waits for its start."""
        started = f"service_started service={service} address="
        wait_for(lambda: self.has_logged(started), START_TIMEOUT_S, f"the start of {service}")
        found = re.search(rf"{started}(\S+)", self.log)
        assert found is not None
        return f"http://{found[1]}"

    @property
    def management_address(self) -> str:
        return self.management_url.removeprefix("http://")

    def put_state(self, state: DesiredState) -> None:
        answer = self._http.put(
            f"{self.management_url}/api/v1/balancer_desired_state",
            content=msgspec.json.encode(state),
        )
        assert answer.status_code == 204, answer.text

    def agents(self) -> list[dict[str, object]]:
        found = self._http.get(f"{self.management_url}/api/v1/agents").json()["agents"]
        assert isinstance(found, list)
        return found

    def total(self, field: str) -> int:
        return sum(int(str(agent[field])) for agent in self.agents())

    def n_buffered(self) -> int:
        answer = self._http.get(f"{self.management_url}/api/v1/buffered_requests").json()
        return int(answer["buffered_requests_current"])

    def wait_for_slots(self, n_slots: int) -> None:
        wait_for(
            lambda: self.total("slots_total") == n_slots, LOAD_TIMEOUT_S, f"{n_slots} ready slots"
        )

    def wait_until_idle(self, timeout_s: float) -> None:
        wait_for(lambda: self.total("slots_processing") == 0, timeout_s, "all slots free")

    def close(self) -> None:
        self._http.close()


@dataclasses.dataclass
class Programs:
    """Starts programs; all are gone at the end."""

    folder: Path
    running: contextlib.ExitStack
    started: list[Program] = dataclasses.field(default_factory=list)

    def balancer(self, *flags: str, management_port: int = 0) -> RealBalancer:
        balancer = RealBalancer(self._log(), *flags, management_port=management_port)
        self.started.append(balancer)
        self.running.callback(balancer.close)
        self.running.callback(balancer.stop)
        balancer.wait_until_started()
        return balancer

    def agent(
        self, management_address: str, *, slots: int = 1, name: str = "agent", **variables: str
    ) -> Program:
        flags = [f"--management-addr={management_address}", f"--slots={slots}", f"--name={name}"]
        agent = Program(["agent", *flags, "--threads=1"], self._log(), **variables)
        self.started.append(agent)
        self.running.callback(agent.stop)
        return agent

    def _log(self) -> Path:
        return self.folder / f"{len(self.started)}.log"


@contextlib.contextmanager
def programs() -> Iterator[Programs]:
    """Programs for a test; none of them leaves anything behind, but for those it killed."""
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.ExitStack() as running:
            found = Programs(Path(folder), running)
            yield found
        for program in found.started:
            if program.process.returncode >= 0:
                program.assert_nothing_is_left()


def gemma_state(model: Path, **parameters: object) -> DesiredState:
    """The real model, with a chat template, greedy unless told otherwise."""
    chosen = {"context_size": 1024, "temperature": 0.0, **parameters}
    return DesiredState(
        model=ModelReference(LocalToAgent=str(model)),
        chat_template_override=ChatTemplate(GEMMA_TEMPLATE),
        use_chat_template_override=True,
        inference_parameters=InferenceParameters(**chosen),  # type: ignore[arg-type]  # a test's
    )


def texts_of(ndjson: str) -> str:
    """The content in an answer."""
    results = [
        json.loads(line)["Response"]["response"]["GeneratedToken"] for line in ndjson.splitlines()
    ]
    return "".join(result.get("ContentToken", "") for result in results)
