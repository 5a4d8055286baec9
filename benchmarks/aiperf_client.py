"""The same conversations, held by somebody else's client: PyPI's aiperf.

Knows how to describe `Traffic` to aiperf and how to read its figures. aiperf
lives in an environment of its own (`make bench-peers`), as it pins other
packages. It wants a tokenizer although the servers count the tokens: a
directory with one token per byte is written for it, so that nothing is
downloaded.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import trio

from benchmarks.chat_traffic import Traffic
from benchmarks.clients import request
from benchmarks.peers import PeerMissing
from benchmarks.processes import ProgramFailed
from benchmarks.prompts import words

_REQUESTS = {
    "temperature": 0.0,
    "ignore_eos": True,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repeat_penalty": 1.0,
}
"""Greedy, every answer as long as it may be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AiperfFigures:
    """What aiperf measured; NaN where it has no figure."""

    ttft_median_s: float
    ttft_p95_s: float
    cached_share: float
    tokens_per_s: float
    n_answers: int
    n_failed: int
    took_s: float


def aiperf_path() -> Path:
    """The program that `make bench-peers` installed; raises PeerMissing."""
    found = os.environ.get("PADDLER_AIPERF") or shutil.which("aiperf")
    if not found:
        raise PeerMissing(
            "aiperf is missing: `pip install aiperf` into an environment of its own, and put the "
            "path of its program into PADDLER_AIPERF"
        )
    return Path(found)


async def hold_with_aiperf(url: str, traffic: Traffic, directory: Path) -> AiperfFigures:
    """Hold the conversations of `traffic` with an OpenAI-compatible server.

    Texts differ from those of `hold_conversations` by their seeds.

    Raises:
        PeerMissing: aiperf is not installed.
        ProgramFailed: It failed; the message shows the end of what it wrote.
    """
    program = aiperf_path()
    tokenizer, conversations = _write_inputs(traffic, directory)
    models = msgspec.json.decode(await request(url, "/v1/models", method="GET"))
    model = models["data"][0]["id"]
    command = [str(program), "profile", "--model", model, "--tokenizer", str(tokenizer)]
    command += ["--url", url, "--endpoint-type", "chat", "--streaming"]
    command += ["--input-file", str(conversations), "--custom-dataset-type", "multi-turn"]
    command += ["--dataset-sampling-strategy", "sequential"]
    command += ["--conversation-num", str(traffic.n_conversations)]
    command += ["--concurrency", str(traffic.n_conversations)]
    command += ["--concurrency-ramp-duration", str(max(0.1, traffic.think_s))]
    command += ["--extra-inputs", msgspec.json.encode(_REQUESTS).decode()]
    command += ["--use-server-token-count", "--workers-max", "1", "--record-processors", "1"]
    command += ["--no-server-metrics", "--no-gpu-telemetry", "--ui", "none"]
    command += ["--output-artifact-dir", str(directory / "artifacts")]
    finished = await trio.run_process(
        command,
        check=False,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        cwd=directory,
        # It would send usage statistics, and look for models.
        env={**os.environ, "DO_NOT_TRACK": "1", "NO_COLOR": "1"},
    )
    (directory / "aiperf.log").write_bytes(finished.stdout)
    summary = directory / "artifacts" / "profile_export_aiperf.json"
    if finished.returncode != 0 or not summary.is_file():
        end = finished.stdout.decode(errors="replace")[-3000:]
        raise ProgramFailed(f"aiperf ended with {finished.returncode}:\n{end}")
    return _read(msgspec.json.decode(summary.read_bytes()))


def _write_inputs(traffic: Traffic, directory: Path) -> tuple[Path, Path]:
    """The tokenizer's directory and the file of conversations."""
    directory.mkdir(exist_ok=True)
    tokenizer = directory / "tokenizer"
    _write_tokenizer(tokenizer)
    conversations = directory / "conversations.jsonl"
    conversations.write_bytes(_conversations(traffic))
    return tokenizer, conversations


def _conversations(traffic: Traffic) -> bytes:
    """One conversation per line; answers are the server's own."""
    system = words(traffic.system_words, "aiperf's system")
    encode = msgspec.json.Encoder().encode
    lines = []
    for number in range(traffic.n_conversations):
        source = random.Random(number)
        turns: list[dict[str, object]] = [{"role": "system", "text": system}]
        for turn in range(traffic.n_turns):
            pause_s = traffic.think_s * source.uniform(0.5, 1.5) if turn else 0.0
            turns.append(
                {
                    "text": words(traffic.user_words, f"aiperf {number} {turn}"),
                    "delay": round(pause_s * 1000.0),
                    "output_length": traffic.max_tokens,
                }
            )
        lines.append(encode({"session_id": f"c{number}", "turns": turns}))
    return b"\n".join([*lines, b""])


def _write_tokenizer(directory: Path) -> None:
    """A byte-level BPE without merges, as Hugging Face's `tokenizers` reads it."""
    directory.mkdir(exist_ok=True)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {**byte_level, "trim_offsets": True},
        "decoder": {**byte_level, "trim_offsets": True},
        "model": {
            "type": "BPE",
            "vocab": {character: byte for byte, character in enumerate(_byte_characters())},
            "merges": [],
        },
    }
    (directory / "tokenizer.json").write_bytes(msgspec.json.encode(tokenizer))
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "!", "bos_token": "!"}
    (directory / "tokenizer_config.json").write_bytes(msgspec.json.encode(names))
    (directory / "config.json").write_bytes(msgspec.json.encode({"model_type": "gpt2"}))


def _byte_characters() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    stand_ins = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(stand_ins)) for byte in range(256)]


def _read(summary: dict[str, Any]) -> AiperfFigures:
    ttft = summary.get("time_to_first_token") or {}
    prompt = _figure(summary, "total_usage_prompt_tokens")
    cached = _figure(summary, "total_usage_prompt_cache_read_tokens")
    return AiperfFigures(
        ttft_median_s=float(ttft.get("p50", "nan")) / 1000.0,
        ttft_p95_s=float(ttft.get("p95", "nan")) / 1000.0,
        cached_share=cached / prompt,
        tokens_per_s=_figure(summary, "output_token_throughput"),
        n_answers=round(_figure(summary, "request_count")),
        n_failed=round(_figure(summary, "error_request_count", missing=0.0)),
        took_s=_figure(summary, "benchmark_duration"),
    )


def _figure(summary: dict[str, Any], name: str, *, missing: float = float("nan")) -> float:
    found = summary.get(name)
    return float(found["avg"]) if found else missing
