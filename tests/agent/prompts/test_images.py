"""Decoding of images: every format, every trick; nothing is fetched, nothing crashes."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import pytest
import trio
from PIL import Image as Pillow

from paddler.agent.prompts.images import FORMATS, ImageDecoder, data_of_uri, decode_raster
from paddler.agent.prompts.svg import check_svg
from paddler.engine.errors import BadImage
from paddler.engine.pixels import Image

TIMEOUT_S = 60.0
RED, WHITE = (255, 0, 0), (255, 255, 255)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="4">{}</svg>'


def file_of(image: Pillow.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def uri_of(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def pixel(image: Image, x: int, y: int) -> tuple[int, ...]:
    begin = (y * image.width + x) * 3
    return tuple(image.rgb[begin : begin + 3])


def png_that_claims(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, data, b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


async def decode(data: bytes, *, fit_pixels: int = 64) -> Image:
    with trio.fail_after(TIMEOUT_S):
        return await ImageDecoder().decode(uri_of(data), fit_pixels=fit_pixels)


@pytest.mark.parametrize("kind", FORMATS)
async def test_every_format_is_decoded_and_scaled_down(kind: str) -> None:
    image = await decode(file_of(Pillow.new("RGB", (200, 100), RED), kind))
    assert (image.width, image.height) == (64, 32)
    assert all(abs(a - b) < 6 for a, b in zip(pixel(image, 5, 5), RED, strict=True))


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_files_are_refused(kind: str) -> None:
    whole = file_of(Pillow.effect_noise((90, 90), 90).convert("RGB"), kind)
    for n_bytes in (1, 10, 30, len(whole) // 2):
        with pytest.raises(BadImage):
            decode_raster(whole[:n_bytes], 64)


def test_small_images_keep_their_size() -> None:
    image = decode_raster(file_of(Pillow.new("RGB", (3, 2), RED), "PNG"), 64)
    assert (image.width, image.height) == (3, 2)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    clear = Pillow.new("RGBA", (4, 4), (255, 0, 0, 0))
    if mode == "P":
        data = file_of(Pillow.new("P", (4, 4), 0), "PNG", transparency=0)
    else:
        data = file_of(clear.convert("LA" if mode == "LA" else "RGBA"), "PNG")
    assert pixel(decode_raster(data, 64), 1, 1) == WHITE


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "I;16"])
def test_other_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    white = 65535 if mode == "I;16" else {"1": 1, "L": 255}.get(mode, (0, 0, 0, 0))
    image = decode_raster(file_of(Pillow.new(mode, (4, 4), white), kind), 64)
    assert pixel(image, 1, 1) == WHITE


def test_the_camera_s_orientation_is_applied() -> None:
    picture = Pillow.new("RGB", (40, 20), WHITE)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    image = decode_raster(file_of(picture, "JPEG", exif=exif), 64)
    assert (image.width, image.height) == (20, 40)


@pytest.mark.parametrize(
    "size", [(100_000, 10), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (10_000, 20)]
)
def test_absurd_sizes_are_refused_before_decoding(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage):
        decode_raster(png_that_claims(*size), 64)


def test_a_jpeg_that_is_scanned_again_and_again_is_refused() -> None:
    """Each scan costs as much as a decoding, and takes a few bytes."""
    buffer = io.BytesIO()
    Pillow.new("L", (4000, 4000)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    assert decode_raster(data, 64).width == 64
    last_scan = data[data.rindex(b"\xff\xc4") : -2]
    with pytest.raises(BadImage, match="scans"):
        decode_raster(data[:-2] + last_scan * 1000 + data[-2:], 64)


def test_a_huge_webp_canvas_is_refused_before_it_is_allocated() -> None:
    canvas = struct.pack("<BBHHBHB", 0x02, 0, 0, 0xFFFF, 0x3F, 0xFFFF, 0x3F)
    chunk = b"WEBPVP8X" + struct.pack("<I", 10) + canvas
    with pytest.raises(BadImage, match="4194304"):
        decode_raster(b"RIFF" + struct.pack("<I", len(chunk)) + chunk + b"\0" * 20, 64)


def test_only_the_first_frame_of_an_animation_counts() -> None:
    frames = [Pillow.new("RGB", (8, 8), color) for color in (RED, WHITE, RED)]
    data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixel(decode_raster(data, 64), 1, 1) == RED


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.4", b"II*\0" + b"\0" * 50])
async def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(BadImage):
        await decode(data)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "https://example.com/a.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:image/png,abc",
        "data:text/plain;base64,aGk=",
        "data:image/png;base64,",
        "data:image/png;base64,a",
        "data:image/png;base64,aGk*",
        "data:image/png;base64,äöü",
        "",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(BadImage):
        data_of_uri(url)


async def test_svg_is_rendered_over_white() -> None:
    svg = SVG.format('<rect width="4" height="4" fill="#f00"/>').encode()
    image = await decode(svg)
    assert (image.width, image.height) == (8, 4)
    assert pixel(image, 1, 1) == RED
    assert pixel(image, 6, 1) == WHITE


async def test_a_huge_svg_is_rendered_small() -> None:
    svg = SVG.format("").replace('"8"', '"800000"').replace('"4"', '"400000"').encode()
    image = await decode(svg)
    assert (image.width, image.height) == (64, 32)


@pytest.mark.parametrize(
    "inside",
    [
        '<image href="http://127.0.0.1:1/a.png"/>',
        '<image xmlns:x="http://www.w3.org/1999/xlink" x:href="file:///etc/passwd"/>',
        '<image href="/etc/passwd"/>',
        '<image href="data:image/svg+xml;base64,PHN2Zy8+"/>',
        '<use href="other.svg#a"/>',
        '<rect fill="url(http://127.0.0.1:1/a.svg#b)"/>',
        '<rect style="fill: url( &quot;http://127.0.0.1:1/&quot;)"/>',
        '<style>@import "http://127.0.0.1:1/a.css";</style>',
        "<style>rect { fill: \\75rl(http://127.0.0.1:1/) }</style>",
        "<script>alert(1)</script>",
        '<rect onclick="alert(1)"/>',
        "<foreignObject/>",
        "<?xml-stylesheet href='http://127.0.0.1:1/a.css'?>",
        "<g>" * 1000 + "</g>" * 1000,
        "<g/>" * 60_000,
        "<g>",
    ],
)
def test_svg_that_reaches_outside_or_too_far_is_refused(inside: str) -> None:
    with pytest.raises(BadImage):
        check_svg(SVG.format(inside).encode())


def test_svg_with_entities_is_refused() -> None:
    bomb = '<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + SVG.format("&b;")
    with pytest.raises(BadImage, match="document type"):
        check_svg(bomb.encode())


async def test_svg_that_takes_endless_work_is_given_up() -> None:
    levels = "".join(f'<g id="g{n}">' + f'<use href="#g{n + 1}"/>' * 10 + "</g>" for n in range(12))
    svg = SVG.format(f'<defs>{levels}<rect id="g12" width="1" height="1"/></defs><use href="#g0"/>')
    with pytest.raises(BadImage):
        await decode(svg.encode())
