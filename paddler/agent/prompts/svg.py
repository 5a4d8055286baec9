"""SVG images: checked, then rendered in a process of their own.

The check lets through only documents that are complete in themselves: no
document type (entities), no scripts, no references but those within the
document and embedded raster images. The renderer (resvg) knows no network, but
a small document can ask it for endless work, and it holds the interpreter's
lock meanwhile: so it runs under limits where it can be killed.

`python -m paddler.agent.prompts.svg WIDTH HEIGHT` is that process: SVG on
standard input, PNG on standard output.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import xml.parsers.expat

import trio

from paddler.engine.errors import BadImage

__all__ = ["check_svg", "looks_like_svg", "render_svg"]

MAX_SVG_BYTES = 2 * 1024 * 1024
MAX_ELEMENTS = 50_000
MAX_DEPTH = 128
TIME_LIMIT_S = 10.0
CPU_LIMIT_S = 5
MEMORY_LIMIT_BYTES = 1 << 30
DEFAULT_SIDE_PIXELS = 512.0

_REFUSED_ELEMENTS = {"script", "foreignobject", "iframe", "object", "embed", "audio", "video"}
_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:px)?\s*")
_EMBEDDED = re.compile(r"\s*data:image/(?:png|jpeg|jpg|gif|webp);base64,", re.IGNORECASE)
_CSS_REFERENCE = re.compile(r"url\s*\(\s*[\"']?\s*(?!#)", re.IGNORECASE)
_HREF_NAMES = {"href", "src"}


def looks_like_svg(data: bytes) -> bool:
    """Whether it is XML rather than a raster image; BOM and white space may precede it."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


async def render_svg(data: bytes, *, fit_pixels: int) -> bytes:
    """A PNG of the document, at most `fit_pixels` on the longer side.

    Raises:
        BadImage: Not an SVG, refused, or beyond the limits.
    """
    width, height = await trio.to_thread.run_sync(check_svg, data)
    scale = min(1.0, fit_pixels / max(width, height))
    size = [str(max(1, round(side * scale))) for side in (width, height)]
    with trio.move_on_after(TIME_LIMIT_S):
        done = await trio.run_process(
            [sys.executable, "-m", "paddler.agent.prompts.svg", *size],
            stdin=data,
            capture_stdout=True,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0 or not done.stdout:
            raise BadImage("the SVG image cannot be rendered")
        return done.stdout
    raise BadImage("the SVG image takes too long to render")


def check_svg(data: bytes) -> tuple[float, float]:
    """Width and height in pixels of a document that is complete in itself.

    Raises:
        BadImage: It is not an SVG, is too large, or refers to something outside.
    """
    if len(data) > MAX_SVG_BYTES:
        raise BadImage(f"an SVG image may have {MAX_SVG_BYTES} bytes at most")
    check = _Check()
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = check.start
    parser.EndElementHandler = check.end
    parser.CharacterDataHandler = check.text
    parser.StartDoctypeDeclHandler = check.doctype
    parser.ProcessingInstructionHandler = check.instruction
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except (xml.parsers.expat.ExpatError, UnicodeError, LookupError) as error:
        raise BadImage(f"the SVG image is not well-formed: {error}") from None
    return check.size


class _Check:
    """Looks at every part of a document while it is parsed."""

    def __init__(self) -> None:
        self.size = (DEFAULT_SIDE_PIXELS, DEFAULT_SIDE_PIXELS)
        self._n_elements = 0
        self._depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local_name = name.rsplit(":", 1)[-1].lower()
        if self._n_elements == 0:
            if local_name != "svg":
                raise BadImage(f"the image is XML, but not SVG: <{name}>")
            self.size = _size(attributes)
        self._n_elements += 1
        self._depth += 1
        if self._n_elements > MAX_ELEMENTS or self._depth > MAX_DEPTH:
            raise BadImage("the SVG image is too complex")
        if local_name in _REFUSED_ELEMENTS:
            raise BadImage(f"the SVG image contains <{name}>")
        for key, value in attributes.items():
            local_key = key.rsplit(":", 1)[-1].lower()
            if local_key in _HREF_NAMES:
                _check_reference(value)
            elif local_key.startswith("on"):
                raise BadImage(f"the SVG image contains a script: {key}")
            else:
                _check_css(value)

    def end(self, name: str) -> None:
        self._depth -= 1

    def text(self, text: str) -> None:
        _check_css(text)

    def doctype(self, *declaration: object) -> None:
        raise BadImage("the SVG image has a document type declaration")

    def instruction(self, target: str, data: str) -> None:
        raise BadImage(f"the SVG image has a processing instruction: {target}")


def _check_reference(value: str) -> None:
    if not value.strip().startswith("#") and _EMBEDDED.match(value) is None:
        raise BadImage("the SVG image refers to something outside of itself")


def _check_css(text: str) -> None:
    # A backslash could hide a reference from this look at it.
    if _CSS_REFERENCE.search(text) or "@import" in text.lower() or "\\" in text:
        raise BadImage("the SVG image refers to something outside of itself")


def _size(attributes: dict[str, str]) -> tuple[float, float]:
    """As the document states it, else as its view box has it; positive."""
    sides = [_LENGTH.fullmatch(attributes.get(name, "")) for name in ("width", "height")]
    if sides[0] is not None and sides[1] is not None:
        width, height = float(sides[0][1]), float(sides[1][1])
    else:
        numbers = attributes.get("viewBox", "").replace(",", " ").split()
        try:
            _, _, width, height = (float(number) for number in numbers)
        except ValueError:
            return DEFAULT_SIDE_PIXELS, DEFAULT_SIDE_PIXELS
    if not (0 < width < float("inf") and 0 < height < float("inf")):
        raise BadImage("the SVG image has no pixels")
    return width, height


def _render(width: int, height: int) -> None:
    """The rendering process."""
    import resvg_py

    text = sys.stdin.buffer.read().decode("utf-8")
    png = resvg_py.svg_to_bytes(svg_string=text, width=width, height=height)
    sys.stdout.buffer.write(bytes(png))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    _render(int(sys.argv[1]), int(sys.argv[2]))
