"""The servers we compare ourselves with: llama-server, alone or behind nginx or vllm-router.

llama-server comes from `make bench-peers`, which builds it from the same source
and with the same flags as our engine. nginx is whatever is on the PATH;
vllm-router is PyPI's, in an environment of its own as it pins other packages.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import trio

from benchmarks.clients import RequestFailed, request
from benchmarks.model import EngineShape
from benchmarks.processes import START_TIMEOUT_S, Program, ProgramFailed, free_port, running

_POLL_S = 0.2


class PeerMissing(ProgramFailed):
    """A program to compare with is not installed; the message says how to get it."""


class Peer:
    """A running server."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port
        self.url = f"http://127.0.0.1:{port}"


def llama_server_path() -> Path:
    """The program that `make bench-peers` built; raises PeerMissing."""
    directory = os.environ.get("PADDLER_PEERS_DIR")
    found = Path(directory) / "llama-server" if directory else None
    if found is None or not found.is_file():
        on_path = shutil.which("llama-server")
        if on_path is None:
            raise PeerMissing(
                "llama-server is missing: run `make bench-peers` and put the directory it prints "
                "into PADDLER_PEERS_DIR (`make bench` does both)"
            )
        found = Path(on_path)
    return found


@contextlib.asynccontextmanager
async def llama_server(
    shape: EngineShape,
    log_directory: Path,
    *,
    name: str = "llama-server",
    chat_template: Path | None = None,
    prompt_cache_mib: int = 0,
) -> AsyncGenerator[Peer, None]:
    """llama-server with the slots, threads, batches and KV types of `shape`.

    Its KV cache is split per slot, as ours is. `prompt_cache_mib` is its host
    memory for prompts (8192 is its own default); requests say whether they
    use what is cached.
    """
    port = free_port()
    dtype = shape.kv_dtype.lower()
    command = [str(llama_server_path()), "--model", str(shape.model)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--parallel", str(shape.n_slots), "--no-kv-unified"]
    command += ["--ctx-size", str(shape.n_slots * shape.context_tokens), "--fit", "off"]
    command += ["--threads", str(shape.n_threads), "--threads-batch", str(shape.n_threads)]
    command += ["--batch-size", str(shape.n_batch), "--ubatch-size", str(shape.n_ubatch)]
    command += ["--cache-type-k", dtype, "--cache-type-v", dtype, "--flash-attn", "on"]
    command += ["--cache-ram", str(prompt_cache_mib)]
    if chat_template is not None:
        command += ["--jinja", "--chat-template-file", str(chat_template)]
    async with running(name, command, log_directory) as program:
        peer = Peer(program, port)
        await _wait_until_healthy(peer)
        yield peer


@contextlib.asynccontextmanager
async def nginx(workers: Sequence[Peer], log_directory: Path) -> AsyncGenerator[Peer, None]:
    """nginx in front of `workers`, round robin, without buffering; raises PeerMissing."""
    program_path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program_path is None:
        raise PeerMissing("nginx is missing: install it and put it on the PATH")
    port = free_port()
    directory = log_directory / "nginx"
    directory.mkdir(exist_ok=True)
    servers = "\n".join(f"    server 127.0.0.1:{worker.port};" for worker in workers)
    configuration = directory / "nginx.conf"
    temporary = "\n".join(
        f"  {kind}_temp_path {directory / kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration.write_text(
        f"""daemon off;
worker_processes 1;
pid {directory / "nginx.pid"};
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{temporary}
  upstream workers {{
{servers}
    keepalive 32;
  }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 64m;
    location / {{
      proxy_pass http://workers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""
    )
    command = [program_path, "-p", str(directory), "-e", "stderr", "-c", str(configuration)]
    async with running("nginx", command, log_directory) as program:
        await program.wait_until_listening(port)
        yield Peer(program, port)


@contextlib.asynccontextmanager
async def vllm_router(
    workers: Sequence[Peer], log_directory: Path, *, policy: str = "cache_aware"
) -> AsyncGenerator[Peer, None]:
    """PyPI's vllm-router in front of `workers`; raises PeerMissing."""
    program_path = os.environ.get("PADDLER_VLLM_ROUTER") or shutil.which("vllm-router")
    if program_path is None:
        raise PeerMissing(
            "vllm-router is missing: `pip install vllm-router` into an environment of its own, "
            "and put the path of its program into PADDLER_VLLM_ROUTER"
        )
    port = free_port()
    command = [program_path, "--host", "127.0.0.1", "--port", str(port), "--policy", policy]
    command += ["--worker-urls", *(worker.url for worker in workers)]
    command += ["--prometheus-port", str(free_port()), "--log-level", "warning"]
    command += ["--worker-startup-check-interval", "1", "--request-timeout-secs", "3600"]
    async with running("vllm-router", command, log_directory) as program:
        await program.wait_until_listening(port)
        peer = Peer(program, port)
        await _wait_until_healthy(peer)
        yield peer


async def _wait_until_healthy(peer: Peer) -> None:
    """llama-server listens long before its model is loaded: `/health` says when it is."""
    with trio.move_on_after(START_TIMEOUT_S):
        while peer.program.process.returncode is None:
            try:
                await request(peer.url, "/health", method="GET")
            except (OSError, RequestFailed, trio.BrokenResourceError):
                await trio.sleep(_POLL_S)
            else:
                return
    raise peer.program.failure("is not healthy")
