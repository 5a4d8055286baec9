"""Images in prompts: the projector, and prompts made of text and pixels.

Owns the native projector. Takes decoded pixels; file formats, sizes and where
images come from are the caller's business.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import trio

from paddler.engine.library import ffi, lib, new_error, raise_for_status
from paddler.engine.model import Model, forward_log
from paddler.engine.pixels import Image

__all__ = ["Image"]


class MediaPrompt:
    """A tokenized prompt with images; freed by `close`.

    Ready for a request once `encode` is through.

    Attributes:
        n_tokens: Tokens of text and images together.
        n_image_tokens: Those of the images.
        n_positions: What it takes of a slot's context.
        largest_image_tokens: Of the largest image: has to fit `n_batch`.
        largest_at_once_tokens: Of the largest image that is computed at once:
            has to fit `n_ubatch`. 0 where images are computed token by token.
    """

    def __init__(self, handle: Any, projector: Any) -> None:
        self.handle = handle
        self._projector = projector
        info = ffi.new("pdl_media_prompt_info *")
        lib.pdl_media_prompt_get_info(handle, info)
        self.n_tokens: int = info.n_tokens
        self.n_image_tokens: int = info.n_image_tokens
        self.n_positions: int = info.n_positions
        self.largest_image_tokens: int = info.largest_image_tokens
        self.largest_at_once_tokens: int = info.largest_at_once_tokens

    async def encode(self) -> None:
        """Encode the images, those aside that were encoded lately.

        Takes seconds for each on a CPU. Runs in a worker thread; cancelling
        stops between two images.

        Raises:
            BadImage: An image cannot be encoded.
        """
        cancel = ffi.new("int32_t *", 0)
        error = new_error()
        status = lib.PDL_CANCELLED

        async def stop_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                cancel[0] = 1

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop_when_cancelled)
                status = await trio.to_thread.run_sync(
                    lib.pdl_media_prompt_encode, self._projector, self.handle, cancel, error
                )
                nursery.cancel_scope.cancel()
        finally:
            forward_log()
        await trio.lowlevel.checkpoint_if_cancelled()
        raise_for_status(status, error)

    def close(self) -> None:
        """Free it; requests that were submitted with it keep what they need."""
        if self.handle is not None:
            lib.pdl_media_prompt_free(self.handle)
            self.handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Projector:
    """Turns images into embeddings for one model. Made by `open_projector`."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def make_prompt(
        self, text: str, images: Sequence[Image], *, add_special: bool = True
    ) -> MediaPrompt:
        """Tokenize `text`, which holds one media marker per image; nothing is encoded yet.

        Runs in a worker thread, which is waited for.

        Raises:
            InvalidArgument: Markers and images do not match.
            BadImage: An image cannot be prepared.
        """
        error = new_error()
        prompt = ffi.new("pdl_media_prompt **")
        try:
            status = await trio.to_thread.run_sync(
                self._make, text, images, add_special, prompt, error
            )
        finally:
            forward_log()
        raise_for_status(status, error)
        return MediaPrompt(prompt[0], self._handle)

    @property
    def n_encoded(self) -> int:
        """Images encoded so far; those that were remembered are not counted."""
        return int(lib.pdl_projector_n_encoded(self._handle))

    def _make(
        self, text: str, images: Sequence[Image], add_special: bool, prompt: Any, error: Any
    ) -> int:
        encoded = text.encode("utf-8", "replace")
        native = ffi.new("pdl_image[]", len(images))
        kept = [ffi.from_buffer(image.rgb) for image in images]
        for entry, image, pixels in zip(native, images, kept, strict=True):
            entry.rgb = ffi.cast("uint8_t *", pixels)
            entry.width = image.width
            entry.height = image.height
            entry.content_hash = image.content_hash
        return int(
            lib.pdl_media_prompt_make(
                self._handle,
                encoded,
                len(encoded),
                add_special,
                native,
                len(images),
                prompt,
                error,
            )
        )


@contextlib.asynccontextmanager
async def open_projector(
    model: Model, path: Path, *, use_gpu: bool = False, n_threads: int = 0
) -> AsyncIterator[Projector]:
    """Load a multimodal projector for `model`; free it on exit.

    Raises:
        ModelFileNotFound, ModelFileUnreadable, BadModelFile: The file.
        Unsupported: It is not for images, or not for this model.
    """
    params = ffi.new("pdl_projector_params *")
    name = ffi.new("char[]", os.fsencode(path))
    params.path = name
    params.use_gpu = use_gpu
    params.n_threads = n_threads
    handle = ffi.new("pdl_projector **")
    error = new_error()
    status = await trio.to_thread.run_sync(
        lib.pdl_projector_open, model.handle, params, handle, error
    )
    forward_log()
    raise_for_status(status, error)
    try:
        yield Projector(handle[0])
    finally:
        lib.pdl_projector_free(handle[0])
