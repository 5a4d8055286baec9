"""llama.cpp's source on this machine: from the cache, an index, or a checkout."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .cache import cache_root, locked, replaced_directory, tree_digest
from .errors import BuildError, disk_errors, disk_full
from .package_index import fetch
from .pip_settings import read_pip_settings

if TYPE_CHECKING:
    from .pin import Pin
    from .progress import Progress

INSIDE_SDIST = "vendor/llama.cpp/"
# The archive and what is unpacked of it.
NEEDED_BYTES = 300 << 20
# Folders of llama.cpp that no build reads.
UNBUILT = frozenset({"docs", "media", "models", "gguf-py", "ci", "benches", "conversion"})


@dataclass(frozen=True, kw_only=True)
class LlamaSource:
    """An unpacked tree, a name for its content, and the version to show for it."""

    path: Path
    digest: str
    version: str


def obtain_source(pin: Pin, progress: Progress) -> LlamaSource:
    """PADDLER_LLAMA_CPP_DIR, or the pinned source, downloaded if the cache lacks it."""
    override = os.environ.get("PADDLER_LLAMA_CPP_DIR")
    if override:
        path = Path(override).expanduser().absolute()
        if not (path / "include" / "llama.h").is_file():
            raise BuildError(
                f"PADDLER_LLAMA_CPP_DIR is {path}, but there is no include/llama.h in it."
            )
        return LlamaSource(
            path=path, digest=tree_digest(path, skip=UNBUILT), version=f"unpinned ({path.name})"
        )
    target = cache_root() / "llama.cpp" / f"{pin.version}-{pin.sha256[:12]}"
    if not target.is_dir():
        with locked(target, progress):
            if not target.is_dir():
                _download_and_unpack(pin, target, progress)
    return LlamaSource(path=target, digest=pin.sha256[:20], version=pin.version)


def _download_and_unpack(pin: Pin, target: Path, progress: Progress) -> None:
    if shutil.disk_usage(target.parent).free < NEEDED_BYTES:
        raise disk_full(target.parent)
    with disk_errors(target.parent), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        archive = Path(folder) / pin.filename
        fetch(pin, archive, read_pip_settings(), progress)
        with replaced_directory(target) as fresh:
            unpack(archive, fresh, progress)
    progress.note(f"llama.cpp of {pin.package} {pin.version} is in {target}")


def unpack(archive: Path, target: Path, progress: Progress) -> None:
    """Unpacks llama.cpp's tree out of the sdist into `target`."""
    progress.step("Unpacking llama.cpp")
    total = archive.stat().st_size
    with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
        for member in tar:
            inside = member.name.partition("/")[2]
            if not inside.startswith(INSIDE_SDIST):
                continue
            relative = inside.removeprefix(INSIDE_SDIST)
            if ".." in Path(relative).parts or Path(relative).is_absolute():
                raise BuildError(f"{archive.name} has a path that leaves its folder: {member.name}")
            destination = target / relative
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            destination.parent.mkdir(parents=True, exist_ok=True)
            with content, destination.open("wb") as out:
                shutil.copyfileobj(content, out)
            destination.chmod(0o755 if member.mode & 0o100 else 0o644)
            progress.at(file.tell(), total)
    if not (target / "include" / "llama.h").is_file():
        raise BuildError(f"{archive.name} has no llama.cpp in {INSIDE_SDIST}")
