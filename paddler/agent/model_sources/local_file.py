"""Models that lie on the agent's own machine."""

from __future__ import annotations

from pathlib import Path

import trio

from paddler.agent.model_sources.errors import ModelFileDoesNotExist
from paddler.agent.model_sources.split_files import part_names


async def find_local_file(path: str) -> Path:
    """The model's first file.

    Raises:
        ModelFileDoesNotExist: It, or another part of a split model, is missing.
    """
    parts = [trio.Path(part) for part in part_names(path)]
    for part in parts:
        try:
            exists = await part.is_file()
        except (OSError, ValueError):
            exists = False
        if not exists:
            message = f"there is no file {part}"
            raise ModelFileDoesNotExist(message)
    return Path(parts[0])
