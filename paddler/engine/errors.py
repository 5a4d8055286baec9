"""What can go wrong in the engine.

EngineError
├── InvalidArgument          parameters that cannot work
├── ModelFileNotFound        no such file
├── ModelFileUnreadable      a file that cannot be read
├── BadModelFile             not a GGUF, truncated, or of an unknown architecture
├── Unsupported              this model cannot do that
├── OutOfMemory
├── LoadCancelled
├── PromptTooLong            does not fit a slot's context or an embedding batch
├── BadGrammar               GBNF does not parse, or its root is unknown
├── GrammarDeadEnd           no token fits the grammar any more
├── BadSchema                a JSON Schema that no grammar can be made of
├── BadTemplate              the chat template does not compile or render
├── UnparsableOutput         the output does not fit the template's format
├── BadImage                 cannot be encoded, or exceeds a batch
├── ProjectorFailed          the multimodal projector cannot be opened
├── EngineClosed
├── DecodeFailed
└── InternalError
"""

from __future__ import annotations


class EngineError(Exception):
    """The engine refused or failed; the text is fit to be shown to an operator."""


class InvalidArgument(EngineError):
    """Parameters that cannot work."""


class ModelFileNotFound(EngineError):
    """There is no such file."""


class ModelFileUnreadable(EngineError):
    """A file that cannot be read."""


class BadModelFile(EngineError):
    """Not a GGUF, truncated, or of an unknown architecture."""


class Unsupported(EngineError):
    """This model cannot do that."""


class OutOfMemory(EngineError):
    """Not enough memory for the model or its caches."""


class LoadCancelled(EngineError):
    """Loading was cancelled."""


class PromptTooLong(EngineError):
    """The prompt does not fit a slot's context or an embedding batch."""


class BadGrammar(EngineError):
    """GBNF does not parse, or its root is unknown."""


class GrammarDeadEnd(EngineError):
    """No token fits the grammar any more."""


class BadSchema(EngineError):
    """A JSON Schema that no grammar can be made of."""


class BadTemplate(EngineError):
    """The chat template does not compile or render."""


class UnparsableOutput(EngineError):
    """The output does not fit the template's format."""


class BadImage(EngineError):
    """An image that cannot be decoded or evaluated."""


class ProjectorFailed(EngineError):
    """The multimodal projector cannot be opened; the cause says why."""


class EngineClosed(EngineError):
    """The engine is closing or closed."""


class DecodeFailed(EngineError):
    """llama.cpp could not compute a batch."""


class InternalError(EngineError):
    """A fault of the engine itself."""
