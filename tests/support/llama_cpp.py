"""llama.cpp's own sources, as the build uses them."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from build_support.pin import read_pin
from build_support.progress import Progress
from build_support.source import obtain_source

LOCK_FILE = Path(__file__).parents[2] / "native" / "llama_cpp.lock"


@functools.cache
def llama_cpp_source() -> Path:
    """The tree that the native engine is built from."""
    override = os.environ.get("PADDLER_LLAMA_CPP_DIR")
    if override:
        return Path(override)
    with Progress() as progress:
        return obtain_source(read_pin(LOCK_FILE), progress).path


def chat_template(name: str) -> str:
    """The source of one of the chat templates that come with llama.cpp."""
    path = llama_cpp_source() / "models" / "templates" / f"{name}.jinja"
    return path.read_text(encoding="utf-8")


def chat_template_names() -> list[str]:
    """All of them."""
    folder = llama_cpp_source() / "models" / "templates"
    return sorted(path.stem for path in folder.glob("*.jinja"))
