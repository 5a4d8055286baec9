"""What the agent needs of an engine, as protocols.

`native` fulfils them with `paddler.engine`; the tests have a scripted
engine that does the same without a model. Methods raise `paddler.engine.errors`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, TypeAlias

from paddler.engine.errors import BadTemplate
from paddler.engine.pixels import Image
from paddler.engine.requests import (
    CacheKind,
    ClassMarker,
    EngineEvent,
    EngineRequest,
    GrammarConstraint,
    TokenClass,
)
from paddler.messages.conversation import RequestedToolCall
from paddler.messages.generation import (
    ConversationPrompt,
    ToolCallParseFailed,
    ToolCallsParsed,
    UnrecognizedToolCallFormat,
)
from paddler.messages.state import KvCacheDtype, PoolingType
from paddler.messages.templates import TemplateCheck

__all__ = [
    "ChatTemplates",
    "Embedder",
    "Engine",
    "EngineBackend",
    "EngineOptions",
    "EngineStats",
    "MediaPrompt",
    "ModelFacts",
    "Projector",
    "RenderedConversation",
    "RunningGeneration",
    "SlotPhase",
    "SlotState",
    "ToolCallOutcome",
]


ToolCallOutcome: TypeAlias = ToolCallsParsed | ToolCallParseFailed | UnrecognizedToolCallFormat


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How a model is opened; `context_tokens` is one slot's. Another value needs a reload."""

    n_slots: int
    context_tokens: int
    n_batch: int
    k_cache_dtype: KvCacheDtype
    v_cache_dtype: KvCacheDtype
    n_gpu_layers: int
    n_threads: int
    prompt_cache_bytes: int
    prefill_budget_ms: int
    enable_embeddings: bool
    embedding_batch_tokens: int
    pooling_type: PoolingType


class ModelFacts(Protocol):
    """What a model says about itself."""

    @property
    def metadata(self) -> dict[str, str]: ...
    @property
    def chat_template(self) -> str | None: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def n_vocab(self) -> int: ...
    @property
    def can_generate(self) -> bool: ...
    @property
    def can_embed(self) -> bool: ...
    @property
    def needs_checkpoints(self) -> bool: ...


class RenderedConversation(Protocol):
    """A conversation as the template writes it; `message_starts` are character offsets."""

    @property
    def text(self) -> str: ...
    @property
    def grammar(self) -> GrammarConstraint | None: ...
    @property
    def preserved_tokens(self) -> Sequence[int]: ...
    @property
    def stops(self) -> Sequence[str]: ...
    @property
    def markers(self) -> Sequence[ClassMarker]: ...
    @property
    def initial_class(self) -> TokenClass: ...
    @property
    def message_starts(self) -> Sequence[int]: ...

    def tool_calls_so_far(self, output: str) -> list[RequestedToolCall]:
        """The tool calls in the beginning of an output, the last one maybe unfinished."""

    def parse_tool_calls(self, output: str) -> ToolCallOutcome:
        """The tool calls of a whole output; `ToolCallsParsed` may hold none."""


class ChatTemplates(Protocol):
    """A compiled chat template; may be used by several threads at once."""

    @property
    def source(self) -> str: ...

    def render(
        self, prompt: ConversationPrompt, *, json_schema: str | None = None
    ) -> RenderedConversation:
        """Raises `BadTemplate`, `BadSchema`."""


class RunningGeneration(Protocol):
    """A generation that the engine has accepted; `request_id` is the engine's own."""

    @property
    def request_id(self) -> int: ...

    def batches(self) -> AsyncGenerator[list[EngineEvent], None]:
        """All events there are, in order, again and again; ends after `Ended`."""


class MediaPrompt(Protocol):
    """A prompt with images, to be encoded before its request and closed after it."""

    @property
    def handle(self) -> object: ...
    @property
    def n_tokens(self) -> int: ...
    @property
    def n_image_tokens(self) -> int: ...
    @property
    def n_positions(self) -> int:
        """What it takes of a slot's context."""

    @property
    def largest_image_tokens(self) -> int: ...
    @property
    def largest_at_once_tokens(self) -> int:
        """Of the images whose tokens are computed at once, if there are any."""

    async def encode(self) -> None:
        """Compute the images, which takes long; raises `BadImage`."""

    def close(self) -> None: ...


class Projector(Protocol):
    """Makes prompts of text and images."""

    async def make_prompt(self, text: str, images: Sequence[Image]) -> MediaPrompt:
        """`text` has one `MEDIA_MARKER` per image; raises `BadImage`, `InvalidArgument`."""


class Embedder(Protocol):
    """Makes embeddings, beside the generations."""

    @property
    def pooling_type(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    @property
    def max_document_tokens(self) -> int: ...

    async def embed(self, documents: Sequence[Sequence[int]]) -> list[bytes]:
        """One [n_rows, dimensions] float32 vector per document, in their order.

        Raises `PromptTooLong` and others; then no document has a result.
        """


class SlotPhase(Protocol):
    """What a slot does: free, prefill or decode."""

    @property
    def value(self) -> str: ...


class SlotState(Protocol):
    """One slot of the engine; `cached_tokens` are in its KV cache."""

    @property
    def phase(self) -> SlotPhase: ...
    @property
    def cached_tokens(self) -> int: ...


class EngineStats(Protocol):
    """The engine's counters; `prefill_tokens_per_s` 0 is not measured yet."""

    @property
    def slots(self) -> Sequence[SlotState]: ...
    @property
    def n_generated_tokens(self) -> int: ...
    @property
    def prefill_tokens_per_s(self) -> float: ...
    @property
    def prompt_cache_bytes(self) -> int: ...
    @property
    def hits(self) -> Mapping[CacheKind, int]: ...
    @property
    def evictions(self) -> int: ...


class Engine(Protocol):
    """An open model with its slots."""

    @property
    def facts(self) -> ModelFacts: ...
    @property
    def context_tokens(self) -> int:
        """Tokens that fit one slot, as llama.cpp rounded them; 0 without slots."""

    @property
    def chat(self) -> ChatTemplates | None: ...
    @property
    def chat_error(self) -> BadTemplate | None: ...
    @property
    def embedder(self) -> Embedder | None: ...
    @property
    def projector(self) -> Projector | None: ...

    async def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]: ...

    def check_grammar(self, text: str, root: str) -> None:
        """Raises `BadGrammar`."""

    def start(self, request: EngineRequest) -> AbstractAsyncContextManager[RunningGeneration]:
        """Run a generation within a block; leaving it cancels and frees the slot."""

    @property
    def kept_requests(self) -> Collection[int]:
        """Ids of requests that are over and whose state is still held."""

    def stats(self) -> EngineStats | None:
        """None without slots."""


class EngineBackend(Protocol):
    """Opens engines; the only thing that knows which kind."""

    @property
    def llama_cpp_version(self) -> str: ...

    def open(
        self,
        path: Path,
        options: EngineOptions,
        *,
        chat_template_override: str | None,
        projector_path: Path | None = None,
        on_progress: Callable[[float], None],
    ) -> AbstractAsyncContextManager[Engine]:
        """Load a model; `on_progress` is called with 0 to 1 while it loads."""

    async def try_template(self, source: str) -> TemplateCheck:
        """Find out about a chat template without a model, and without harm."""

    def json_schema_to_grammar(self, schema: str) -> str:
        """GBNF with the root `root`; raises `BadSchema`."""
