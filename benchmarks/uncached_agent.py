"""`paddler agent` with an engine that keeps nothing: to measure what its caches are worth.

Takes the flags of `paddler agent`, which has none for this: nobody wants it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from typing_extensions import override

import paddler.agent.run
from paddler.agent.backend.native import NativeBackend
from paddler.agent.backend.protocol import Engine, EngineOptions
from paddler.cli.commands import load_command
from paddler.cli.running import main_of
from paddler.engine import Engine as NativeEngine
from paddler.engine.settings import EngineSettings


class UncachedBackend(NativeBackend):
    """Opens engines whose slots start empty for every prompt."""

    @override
    @contextlib.asynccontextmanager
    async def open(
        self,
        path: Path,
        options: EngineOptions,
        *,
        chat_template_override: str | None,
        projector_path: Path | None = None,
        on_progress: Callable[[float], None],
    ) -> AsyncGenerator[Engine, None]:
        settings = EngineSettings(**dataclasses.asdict(options))
        async with NativeEngine.open(
            path,
            dataclasses.replace(settings, reuse_cache=False, prompt_cache_bytes=0),
            chat_template_override=chat_template_override,
            projector_path=projector_path,
            on_progress=on_progress,
        ) as engine:
            yield engine


def main() -> None:
    """Run the agent's command with the other backend."""
    sys.argv.remove("agent")
    setattr(paddler.agent.run, "NativeBackend", UncachedBackend)  # noqa: B010 - mypy sees no such export
    main_of(load_command("agent"), "uncached-agent")


if __name__ == "__main__":
    main()
