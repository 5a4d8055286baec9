"""Images and fleets: projections from everywhere, and agents that die meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from typing_extensions import override

from paddler.messages.state import HuggingFaceModel, ModelReference, UrlModel
from tests.support.real_programs import LOAD_TIMEOUT_S, gemma_state, programs, wait_for
from tests.support.tiny_projector import tiny_projector
from tests.system.test_images import (
    GEMMA_EMBEDDING_WIDTH,
    IMAGE_TOKENS,
    TIMEOUT_S,
    ask,
    uri,
    usage_of,
)

COUNTED = " ".join(f"one two three four five six {word}" for word in ("seven", "eight") * 6)

pytestmark = pytest.mark.model


@contextlib.contextmanager
def file_host(content: bytes) -> Iterator[str]:
    """Serves `content` at every path, with the headers of Hugging Face; its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0123456789" * 4)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

        @override
        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is logged."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("source", ["url", "hugging face"])
def test_a_projection_is_downloaded(
    source: str, real_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = tiny_projector(tmp_path / "projector.gguf", n_embd_text=GEMMA_EMBEDDING_WIDTH)
    with file_host(projector.read_bytes()) as url, programs() as running:
        monkeypatch.setenv("PADDLER_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_ENDPOINT", url)
        reference = (
            ModelReference(Url=UrlModel(f"{url}/projector.gguf"))
            if source == "url"
            else ModelReference(HuggingFace=HuggingFaceModel("org/repo", "projector.gguf", "main"))
        )
        balancer = running.balancer()
        running.agent(balancer.management_address)
        balancer.put_state(
            msgspec.structs.replace(gemma_state(real_model_path), multimodal_projection=reference)
        )
        balancer.wait_for_slots(1)
        assert usage_of(ask(balancer, uri(1)))["input_image_tokens"] == IMAGE_TOKENS


def test_a_projection_that_is_not_there_is_an_issue_until_it_is(
    real_model_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "projector.gguf"
    state = msgspec.structs.replace(
        gemma_state(real_model_path),
        multimodal_projection=ModelReference(LocalToAgent=str(path)),
    )
    with programs() as running:
        balancer = running.balancer()
        running.agent(balancer.management_address)
        balancer.put_state(state)
        issue = {"ModelFileDoesNotExist": {"model_path": str(path)}}
        wait_for(
            lambda: [agent["issues"] for agent in balancer.agents()] == [[issue]],
            LOAD_TIMEOUT_S,
            "the issue",
        )
        tiny_projector(path, n_embd_text=GEMMA_EMBEDDING_WIDTH)
        balancer.wait_for_slots(1)
        assert [agent["issues"] for agent in balancer.agents()] == [[]]
        assert usage_of(ask(balancer, uri(1)))["input_image_tokens"] == IMAGE_TOKENS


def test_another_agent_goes_on_with_a_conversation_of_images(
    real_model_path: Path, tmp_path: Path
) -> None:
    """The client sees a pause; nothing is lost or said twice.

    The grammar leaves no choice, so that the text is known whatever the images show.
    """
    projector = tiny_projector(tmp_path / "projector.gguf", n_embd_text=GEMMA_EMBEDDING_WIDTH)
    state = msgspec.structs.replace(
        gemma_state(real_model_path),
        multimodal_projection=ModelReference(LocalToAgent=str(projector)),
    )
    parts = [{"type": "image_url", "image_url": {"url": uri(shade)}} for shade in (1, 200)]
    content = [*parts, {"type": "text", "text": "Count to one hundred, in words."}]
    body = {
        "conversation_history": [{"role": "user", "content": content}],
        "add_generation_prompt": True,
        "enable_thinking": False,
        "max_tokens": 400,
        "grammar": {"type": "gbnf", "grammar": f'root ::= "{COUNTED}"', "root": "root"},
    }
    with programs() as running:
        balancer = running.balancer("--buffered-request-timeout=60000")
        agents = {
            name: running.agent(balancer.management_address, name=name) for name in ("one", "two")
        }
        balancer.put_state(state)
        balancer.wait_for_slots(2)
        url = f"{balancer.inference_url}/api/v1/continue_from_conversation_history"
        served_by: list[str] = []
        n_tokens = 0
        with (
            httpx.Client(trust_env=False, timeout=TIMEOUT_S) as client,
            client.stream("POST", url, json=body) as answer,
        ):
            results = []
            for line in answer.iter_lines():
                envelope = json.loads(line)["Response"]
                results.append(envelope["response"]["GeneratedToken"])
                name = envelope["generated_by"]
                if name not in served_by:
                    served_by.append(name)
                n_tokens += 1
                if n_tokens == 4:
                    agents[name].stop(signal.SIGKILL)
        assert len(served_by) == 2, results
        usage = usage_of(results)
        assert usage["input_image_tokens"] == 2 * IMAGE_TOKENS
        assert "".join(result.get("ContentToken", "") for result in results) == COUNTED
