"""Images end to end: the real model, and a projector of random weights that fits it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from openai import OpenAI
from PIL import Image as Pillow

from paddler.messages.state import ModelReference
from tests.support.real_programs import (
    LOAD_TIMEOUT_S,
    RealBalancer,
    gemma_state,
    programs,
    wait_for,
)
from tests.support.tiny_projector import tiny_projector

pytestmark = pytest.mark.model

GEMMA_EMBEDDING_WIDTH = 640
IMAGE_TOKENS = 16
TIMEOUT_S = 120.0


def uri(shade: int, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    picture = Pillow.linear_gradient("L").point(lambda value: value ^ shade)
    picture.convert("RGB").save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.fixture(scope="module")
def fleet(
    real_model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealBalancer]:
    """A balancer with one agent of two slots; images work."""
    path = tmp_path_factory.mktemp("projector") / "projector.gguf"
    projector = tiny_projector(path, n_embd_text=GEMMA_EMBEDDING_WIDTH)
    state = msgspec.structs.replace(
        gemma_state(real_model_path),
        multimodal_projection=ModelReference(LocalToAgent=str(projector)),
    )
    with programs() as running:
        balancer = running.balancer("--compat-openai-addr=127.0.0.1:0")
        running.agent(balancer.management_address, slots=2)
        balancer.put_state(state)
        balancer.wait_for_slots(2)
        yield balancer


def ask(fleet: RealBalancer, *urls: str, text: str = "What is it?") -> list[dict[str, object]]:
    """The results of a conversation of one message; the images come first."""
    parts: list[object] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    body = {
        "conversation_history": [
            {"role": "user", "content": [*parts, {"type": "text", "text": text}]}
        ],
        "add_generation_prompt": True,
        "enable_thinking": False,
        "max_tokens": 4,
    }
    answer = httpx.post(
        f"{fleet.inference_url}/api/v1/continue_from_conversation_history",
        json=body,
        timeout=TIMEOUT_S,
        trust_env=False,
    )
    assert answer.status_code == 200
    return [
        json.loads(line)["Response"]["response"]["GeneratedToken"]
        for line in answer.text.splitlines()
    ]


def usage_of(results: list[dict[str, object]]) -> dict[str, int]:
    done = results[-1]["Done"]
    assert isinstance(done, dict)
    usage = done["usage"]
    assert isinstance(usage, dict)
    return usage


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_images_of_every_format_are_part_of_the_prompt(fleet: RealBalancer, kind: str) -> None:
    without = usage_of(ask(fleet))
    with_one = usage_of(ask(fleet, uri(1, kind)))
    assert without["input_image_tokens"] == 0
    assert with_one["input_image_tokens"] == IMAGE_TOKENS
    assert with_one["prompt_tokens"] >= without["prompt_tokens"] + IMAGE_TOKENS


def test_several_images_and_a_drawing_in_one_message(fleet: RealBalancer) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="5"/></svg>'
    drawing = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    usage = usage_of(ask(fleet, uri(1), drawing, uri(2)))
    assert usage["input_image_tokens"] == 3 * IMAGE_TOKENS


def test_a_prefix_with_an_image_is_cached_by_what_it_shows(fleet: RealBalancer) -> None:
    long = "Look at it closely, and tell me everything that there is to be seen. " * 4
    first = usage_of(ask(fleet, uri(11), uri(70), text=long))
    again = usage_of(ask(fleet, uri(11), uri(70), text=long))
    other = usage_of(ask(fleet, uri(11), uri(200), text=long))
    assert again["cached_prompt_tokens"] > first["prompt_tokens"] - 10
    assert other["cached_prompt_tokens"] < 2 * IMAGE_TOKENS + 10


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a.png", "data:image/png;base64,iVBORw0KGgo=", "nothing"]
)
def test_what_cannot_be_decoded_says_so(fleet: RealBalancer, url: str) -> None:
    results = ask(fleet, url)
    assert list(results[-1]) == ["ImageDecodingFailed"]
    assert "Done" in ask(fleet, uri(1))[-1]


def test_the_openai_service_takes_images(fleet: RealBalancer) -> None:
    with OpenAI(base_url=f"{fleet.url('openai')}/v1", api_key="none") as client:
        model = client.models.list().data[0].id
        answer = client.chat.completions.create(
            model=model,
            max_tokens=4,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": uri(1)}},
                        {"type": "text", "text": "What is it?"},
                    ],
                }
            ],
        )
        assert answer.usage is not None
        assert answer.usage.prompt_tokens > IMAGE_TOKENS
        response = client.responses.create(
            model=model,
            max_output_tokens=4,
            input=[
                {
                    "role": "user",
                    "content": [
                        {"type": "input_image", "image_url": uri(1), "detail": "auto"},
                        {"type": "input_text", "text": "What is it?"},
                    ],
                }
            ],
        )
        assert response.usage is not None
        assert response.usage.input_tokens > IMAGE_TOKENS


def test_a_projection_for_another_model_is_an_issue(real_model_path: Path, tmp_path: Path) -> None:
    projector = tiny_projector(tmp_path / "other.gguf", n_embd_text=64)
    state = msgspec.structs.replace(
        gemma_state(real_model_path),
        multimodal_projection=ModelReference(LocalToAgent=str(projector)),
    )
    issue = {"MultimodalProjectionCannotBeLoaded": {"model_path": str(projector)}}
    with programs() as running:
        balancer = running.balancer()
        running.agent(balancer.management_address)
        balancer.put_state(state)
        wait_for(
            lambda: [agent["issues"] for agent in balancer.agents()] == [[issue]],
            LOAD_TIMEOUT_S,
            "the issue",
        )
        balancer.put_state(gemma_state(real_model_path))
        balancer.wait_for_slots(1)
        wait_for(
            lambda: [agent["issues"] for agent in balancer.agents()] == [[]],
            LOAD_TIMEOUT_S,
            "the end of the issue",
        )
