"""Images of conversations: from base64 data URIs to pixels.

Nothing here reaches the network or the file system. What an image claims to be
is checked before it is decoded, and decoding happens in a worker thread (SVG:
in a process), a few at a time, so that neither bombs nor broken files harm
anybody but the request they came with.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
import warnings
from collections.abc import Iterator

import trio
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from paddler.agent.prompts.svg import looks_like_svg, render_svg
from paddler.engine.errors import BadImage
from paddler.engine.pixels import Image
from paddler.messages.conversation import ImagePart
from paddler.messages.generation import ConversationPrompt

__all__ = ["FORMATS", "ImageDecoder", "data_of_uri", "decode_raster", "image_urls"]

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
"""What Pillow may open; its other formats stay closed."""

MAX_IMAGE_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 50_000_000
"""Before scaling down: decoded, that is 200 MB."""

MAX_SCANNED_PIXELS = 1_000_000_000
"""Pixels times scans of a progressive JPEG, some seconds of work: a scan of two
dozen bytes passes over the whole image. Encoders make about ten."""

MAX_SIDE_PIXELS = 32_768
MAX_ASPECT_RATIO = 200
N_AT_ONCE = 2
_WHITE = (255, 255, 255, 255)
_BITS_16 = 256
_DATA_URI = re.compile(r"data:(?P<type>[\w.+/-]*)(?P<parameters>(?:;[\w.+=-]+)*),", re.ASCII)


class ImageDecoder:
    """Decodes images, a few at a time; what waits takes no memory beyond its text."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(N_AT_ONCE)

    async def decode(self, url: str, *, fit_pixels: int) -> Image:
        """The pixels of a data URI, scaled down to `fit_pixels` on the longer side.

        Cancelled, it leaves a thread behind that ends by itself and counts
        against the limit until then; a process is killed.

        Raises:
            BadImage: Not a base64 data URI, undecodable, or beyond a limit.
        """
        data = await trio.to_thread.run_sync(
            data_of_uri, url, limiter=self._limiter, abandon_on_cancel=True
        )
        if looks_like_svg(data):
            async with self._limiter:
                data = await render_svg(data, fit_pixels=fit_pixels)
        return await trio.to_thread.run_sync(
            decode_raster, data, fit_pixels, limiter=self._limiter, abandon_on_cancel=True
        )


def image_urls(prompt: ConversationPrompt) -> Iterator[str]:
    """The addresses of a conversation's images, in order."""
    for message in prompt.messages:
        if isinstance(message.content, list):
            for part in message.content:
                if isinstance(part, ImagePart):
                    yield part.image_url.url


def data_of_uri(url: str) -> bytes:
    """The bytes of a base64 data URI (RFC 2397).

    Raises:
        BadImage: Another kind of address, not an image's, not base64, or too large.
    """
    matched = _DATA_URI.match(url)
    if matched is None:
        raise BadImage("only base64 data URIs are taken, nothing is fetched")
    if not matched["type"].lower().startswith("image/"):
        raise BadImage(f"the data URI is not of an image: {matched['type'] or 'no type'}")
    if not matched["parameters"].lower().endswith(";base64"):
        raise BadImage("the data URI is not in base64")
    encoded = url[matched.end() :]
    if len(encoded) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise BadImage(f"an image may have {MAX_IMAGE_BYTES} bytes at most")
    try:
        data = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadImage(f"the data URI is not valid base64: {error}") from None
    if not data:
        raise BadImage("the image is empty")
    return data


def decode_raster(data: bytes, fit_pixels: int) -> Image:
    """The first frame of a JPEG, PNG, GIF, BMP or WebP file, upright, over white.

    Raises:
        BadImage: Undecodable, truncated, or its header claims too many pixels.
    """
    _check_webp(data)
    try:
        with warnings.catch_warnings():
            # Ours is the limit; Pillow's lies above it.
            warnings.simplefilter("ignore")
            with Pillow.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(*image.size)
                if data.startswith(b"\xff\xd8"):
                    # Not by Pillow's name for it: a JPEG may also be an MPO.
                    _check_scans(data, *image.size)
                image.draft("RGB", (fit_pixels, fit_pixels))
                image.load()
                return _pixels(image, fit_pixels)
    except BadImage:
        raise
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise BadImage(f"the image is not in a format that is known: {kinds}, SVG") from None
    except Exception as error:
        # Decoders of broken files raise whatever they stumble over.
        raise BadImage(f"the image cannot be decoded: {error}") from error


def _pixels(image: Pillow.Image, fit_pixels: int) -> Image:
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value / _BITS_16).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    orientation = image.getexif()
    if max(image.size) > fit_pixels:
        image.thumbnail((fit_pixels, fit_pixels))
    if orientation:
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGBA":
        image = Pillow.alpha_composite(Pillow.new("RGBA", image.size, _WHITE), image)
    return Image(image.convert("RGB").tobytes(), *image.size)


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise BadImage("the image has no pixels")
    if max(width, height) > MAX_SIDE_PIXELS or width * height > MAX_PIXELS:
        raise BadImage(
            f"the image has {width} x {height} pixels; at most {MAX_PIXELS} are taken, "
            f"{MAX_SIDE_PIXELS} on a side"
        )
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise BadImage(f"the image is a strip of {width} x {height} pixels")


def _check_scans(data: bytes, width: int, height: int) -> None:
    """Each scan begins with this marker, which compressed data never contains."""
    n_scans = data.count(b"\xff\xda")
    if n_scans * width * height > MAX_SCANNED_PIXELS:
        raise BadImage(f"the image has {width} x {height} pixels in {n_scans} scans")


def _check_webp(data: bytes) -> None:
    """Pillow allocates a WebP's canvas when it opens the file: look at its size before."""
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X" or len(data) < 30:
        return
    low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
    _check_size((high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1)
