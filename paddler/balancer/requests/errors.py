"""Why a request never started.

DispatchError (from dispatch)
├── BufferFull              503
├── BufferTimeout           504
└── ShuttingDown            503
GenerationRefusal
├── GenerationNotSupported  501  the model serves embeddings only
├── EmbeddingsNotEnabled    501  the desired state or the model says no
└── NoAgents                503  embeddings: nobody is there to serve them
"""

from __future__ import annotations

from paddler.balancer.dispatch.errors import (
    BufferFull,
    BufferTimeout,
    DispatchError,
    ShuttingDown,
)

__all__ = [
    "BufferFull",
    "BufferTimeout",
    "DispatchError",
    "EmbeddingsNotEnabled",
    "GenerationNotSupported",
    "GenerationRefusal",
    "NoAgents",
    "ShuttingDown",
]


class GenerationRefusal(Exception):
    """The fleet cannot serve this; the text is fit to be shown to whoever asked."""


class GenerationNotSupported(GenerationRefusal):
    """The model serves embeddings only."""

    def __init__(self) -> None:
        super().__init__("the model serves embeddings only; it cannot generate text")


class EmbeddingsNotEnabled(GenerationRefusal):
    """Embeddings are off in the desired state, or the model has none."""


class NoAgents(GenerationRefusal):
    """No agent is connected, or none has applied the state yet."""
