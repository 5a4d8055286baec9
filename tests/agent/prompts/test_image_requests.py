"""Requests with images, and the projection behind them, on virtual time."""

from __future__ import annotations

import base64
import io

import pytest
import trio
from PIL import Image as Pillow

from paddler.messages.agents import ApplicationStatus, ModelIssue
from paddler.messages.conversation import ContentPart, ImagePart, ImageUrl, Message, TextPart
from paddler.messages.generation import (
    ConversationPrompt,
    GenerationFailure,
    GenerationOrder,
    ImageTooLarge,
)
from paddler.messages.link import Resume
from tests.support.agent_harness import running_agent, state_of

PROJECTOR = "projector.gguf"


@pytest.fixture(autouse=True)
def _immediate_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding happens at once: virtual time would run ahead of a thread."""

    async def run_here(function: object, *args: object, **_: object) -> object:
        await trio.lowlevel.checkpoint()
        assert callable(function)
        return function(*args)

    monkeypatch.setattr("paddler.agent.prompts.images.trio.to_thread.run_sync", run_here)


def uri(width: int = 20, height: int = 10) -> str:
    buffer = io.BytesIO()
    Pillow.new("RGB", (width, height)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def order(*parts: str) -> GenerationOrder:
    content: list[ContentPart] = [
        ImagePart(ImageUrl(part)) if ":" in part else TextPart(part) for part in parts
    ]
    return GenerationOrder(prompt=ConversationPrompt([Message("user", content)]))


async def test_a_conversation_with_images_is_answered_and_billed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        status = await link.serve(state_of(projector=PROJECTOR, image_resize_to_fit=8))
        assert status.model is not None
        assert status.model.supports_images
        await link.generate(1, order("look:".replace(":", ""), uri(), "and", uri(4, 4)))
        usage = (await link.done(1)).usage
        assert usage.input_image_tokens == 32
        assert usage.prompt_tokens == len("<user>lookand<assistant>") + 32
        projector = agent.engine.projector
        assert projector is not None
        [prompt] = projector.prompts
        assert [(image.width, image.height) for image in prompt.images] == [(8, 4), (4, 4)]
        assert prompt.closed


async def test_images_without_a_projection_are_not_supported(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        status = await link.serve(state_of())
        assert status.model is not None
        assert not status.model.supports_images
        await link.generate(1, order(uri()))
        assert (await link.failed(1)).failure is GenerationFailure.MULTIMODAL_NOT_SUPPORTED


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png", "data:image/png;base64,AAAA", "file:///etc/passwd"]
)
async def test_images_that_cannot_be_decoded_end_the_request(
    autojump_clock: trio.testing.MockClock, url: str
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of(projector=PROJECTOR))
        await link.generate(1, order("look", url))
        assert (await link.failed(1)).failure is GenerationFailure.IMAGE_DECODING_FAILED
        await link.generate(2, order("look", uri()))
        await link.done(2)


async def test_an_image_larger_than_a_batch_says_both_sizes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of(projector=PROJECTOR, n_batch=8))
        await link.generate(1, order(uri()))
        assert await link.ending(1) == ImageTooLarge(16, 8)
        projector = agent.engine.projector
        assert projector is not None
        [prompt] = projector.prompts
        assert prompt.closed
        assert not prompt.encoded, "refused before the expensive part"


async def test_a_prompt_longer_than_the_context_is_refused_before_its_images_are_encoded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of(projector=PROJECTOR, context_size=40))
        await link.generate(1, order("look " * 10, uri()))
        assert (await link.refused(1)).code == 400
        projector = agent.engine.projector
        assert projector is not None
        assert [prompt.encoded for prompt in projector.prompts] == [False]


async def test_a_request_is_cancelled_while_its_image_is_encoded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_agent(slots=1) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of(projector=PROJECTOR))
        projector = agent.engine.projector
        assert projector is not None
        projector.encode_s = 3600.0
        await link.generate(1, order("look", uri()))
        await trio.sleep(1)
        [prompt] = projector.prompts
        assert not prompt.closed
        await link.cancel(1)
        await link.generate(2, "the only slot is free again")
        await link.done(2, within_s=60)
        assert prompt.closed
        assert not prompt.encoded
        assert link.events(1) == []


async def test_a_request_is_cancelled_while_its_image_is_decoded(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def decode_for_ever(*_: object, **__: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr("paddler.agent.prompts.images.ImageDecoder.decode", decode_for_ever)
    async with running_agent(slots=1) as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of(projector=PROJECTOR))
        await link.generate(1, order("look", uri()))
        await trio.sleep(1)
        await link.cancel(1)
        await link.generate(2, "the only slot is free again")
        await link.done(2, within_s=60)
        assert link.events(1) == []


async def test_a_conversation_with_images_goes_on_where_another_agent_left_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of(projector=PROJECTOR))
        resume = Resume(token_ids=[ord("h"), ord("e")], n_sent_bytes=2)
        await link.generate(1, order("look", uri()), resume)
        done = await link.done(1)
        assert link.text(1) == "llo"
        assert done.usage.input_image_tokens == 16
        assert done.usage.content_tokens == len("hello")


async def test_a_text_that_contains_the_marker_is_refused_beside_images(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of(projector=PROJECTOR))
        await link.generate(1, order("<__media__>", uri()))
        assert (await link.refused(1)).code == 400


async def test_another_image_size_does_not_reload(autojump_clock: trio.testing.MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.serve(state_of(projector=PROJECTOR), version=1)
        await link.serve(state_of(projector=PROJECTOR, image_resize_to_fit=4), version=2)
        assert len(agent.backend.opened) == 1
        await link.generate(1, order(uri()))
        await link.done(1)
        projector = agent.engine.projector
        assert projector is not None
        assert projector.prompts[0].images[0].width == 4


async def test_a_broken_projection_is_an_issue_of_its_own(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        await link.apply(state_of(projector="broken.gguf"), 1)
        status = await link.until_status(ApplicationStatus.ATTEMPTED_AND_NOT_APPLIABLE, 1)
        assert status.issues == [
            ModelIssue("MultimodalProjectionCannotBeLoaded", "/models/broken.gguf")
        ]
        status = await link.serve(state_of(projector=PROJECTOR), version=2)
        assert status.issues == []


async def test_a_missing_projection_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async with running_agent() as agent:
        link = await agent.balancer.welcome()
        agent.fetcher.files = {"model.gguf"}
        await link.apply(state_of(projector=PROJECTOR), 1)
        status = await link.until_status(ApplicationStatus.ATTEMPTED_AND_RETRYING, 1)
        assert status.issues == [ModelIssue("ModelFileDoesNotExist", f"/models/{PROJECTOR}")]
        agent.fetcher.files = None
        status = await link.until_status(ApplicationStatus.APPLIED, 1)
        assert status.issues == []
