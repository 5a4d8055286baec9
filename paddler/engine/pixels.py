"""Decoded images: plain data, for those who do without the native library."""

from __future__ import annotations

import dataclasses
import hashlib

MEDIA_MARKER = "<__media__>"
"""Stands in a rendered prompt where an image belongs (mtmd_default_marker of mtmd.h)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """Decoded pixels: `rgb` is [height, width, 3] uint8."""

    rgb: bytes
    width: int
    height: int

    def __post_init__(self) -> None:
        if len(self.rgb) != self.width * self.height * 3:
            message = (
                f"{len(self.rgb)} bytes are not {self.width} x {self.height} pixels of 3 bytes"
            )
            raise ValueError(message)

    @property
    def content_hash(self) -> int:
        """64 bits that tell equal images apart from others."""
        size = f"{self.width}x{self.height}:".encode()
        digest = hashlib.blake2b(size + self.rgb, digest_size=8).digest()
        return int.from_bytes(digest, "little")
