"""The native engine: the only door to llama.cpp.

`Engine` is the way in; `requests` and `errors` are its vocabulary. Importing
this package loads the native module; `requests`, `errors` and `settings` do
not need it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paddler.engine.engine import Engine
    from paddler.engine.settings import EngineSettings

__all__ = ["Engine", "EngineSettings"]

_HOMES = {"Engine": "paddler.engine.engine", "EngineSettings": "paddler.engine.settings"}


def __getattr__(name: str) -> object:
    """Load the native module only once somebody needs the engine itself."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
