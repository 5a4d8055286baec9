"""Engines of `paddler.engine`: the native library is loaded when the first is opened."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from paddler.agent.backend.protocol import Engine, EngineOptions
from paddler.engine.errors import Unsupported
from paddler.messages.templates import TemplateCheck

__all__ = ["NativeBackend"]


class NativeBackend:
    """The `EngineBackend` of llama.cpp."""

    @property
    def llama_cpp_version(self) -> str:
        """As it was pinned when the native library was built; "unknown" without one."""
        try:
            from paddler.engine.library import ffi, lib
        except ImportError:
            return "unknown"
        return str(ffi.string(lib.pdl_llama_cpp_version()).decode())

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
        """Load a model; see `paddler.engine.engine.Engine.open`.

        Raises:
            Unsupported: Also where the native library is missing.
        """
        try:
            from paddler.engine.engine import Engine as NativeEngine
        except ImportError as error:
            message = f"this installation has no native engine: {error}"
            raise Unsupported(message) from error
        from paddler.engine.settings import EngineSettings

        settings = EngineSettings(**dataclasses.asdict(options))
        async with NativeEngine.open(
            path,
            settings,
            chat_template_override=chat_template_override,
            projector_path=projector_path,
            on_progress=on_progress,
        ) as engine:
            yield engine

    async def try_template(self, source: str) -> TemplateCheck:
        """See `paddler.engine.template_probe`."""
        from paddler.engine.template_probe import try_template

        return await try_template(source)

    def json_schema_to_grammar(self, schema: str) -> str:
        """GBNF with the root `root`; raises `BadSchema`."""
        from paddler.engine.chat import json_schema_to_grammar

        return json_schema_to_grammar(schema)
