"""Prompts with images, from a rendered conversation and decoded pixels."""

from __future__ import annotations

from collections.abc import Sequence

from paddler.agent.backend.protocol import Engine, MediaPrompt
from paddler.agent.request_errors import RequestEnded, failed
from paddler.engine.pixels import MEDIA_MARKER, Image
from paddler.messages.generation import GenerationFailure, GenerationRefused, ImageTooLarge

__all__ = ["check_image_sizes", "make_media_prompt"]

UBATCH_TOKENS = 512
"""What llama.cpp computes at once, by default: some projectors' images have to fit it."""


async def make_media_prompt(
    engine: Engine, text: str, images: Sequence[Image], starts: Sequence[int]
) -> tuple[MediaPrompt, list[int]]:
    """The prompt, not encoded yet, and the positions of the texts' `starts`.

    The caller closes the prompt.

    `starts` are offsets of characters; those between two images are left out.

    Raises:
        RequestEnded: No projector, or the template does not place every image.
        BadImage: An image cannot be prepared.
    """
    projector = engine.projector
    if projector is None:
        message = "no multimodal projection is loaded"
        raise failed(GenerationFailure.MULTIMODAL_NOT_SUPPORTED, message)
    if text.count(MEDIA_MARKER) != len(images):
        message = (
            f"the prompt has {text.count(MEDIA_MARKER)} places for {len(images)} images: "
            f"the chat template leaves some out, or a text contains {MEDIA_MARKER}"
        )
        raise RequestEnded(GenerationRefused(400, message))
    first, last = text.index(MEDIA_MARKER), text.rindex(MEDIA_MARKER)
    before = [len(await engine.tokenize(text[:start])) for start in starts if start <= first]
    # Behind the last image, positions are counted from the end.
    behind = [
        len(await engine.tokenize(text[start:], add_special=False))
        for start in starts
        if start > last
    ]
    # Made last, as nothing between here and the caller may fail.
    media = await projector.make_prompt(text, images)
    return media, before + [max(0, media.n_positions - n_tokens) for n_tokens in behind]


def check_image_sizes(media: MediaPrompt, n_batch: int) -> None:
    """Refuse images that fit no batch, before anything is spent on encoding them.

    Raises:
        RequestEnded: With the largest image's tokens and what a batch takes.
    """
    for n_tokens, limit in (
        (media.largest_image_tokens, n_batch),
        (media.largest_at_once_tokens, min(n_batch, UBATCH_TOKENS)),
    ):
        if n_tokens > limit:
            raise RequestEnded(ImageTooLarge(n_tokens, limit))
