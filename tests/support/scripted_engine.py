"""An engine without a model: it says what a script tells it to, on virtual time.

Fulfils `paddler.agent.backend.protocol`. Its tokens are characters: token ids
are code points, so texts, limits and replays can be followed by eye.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import struct
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import trio

from paddler.agent.backend.protocol import EngineOptions, ToolCallOutcome
from paddler.engine import errors
from paddler.engine.pixels import MEDIA_MARKER, Image
from paddler.engine.requests import (
    CacheKind,
    ClassMarker,
    Ended,
    EngineEvent,
    EngineRequest,
    FinishReason,
    GrammarConstraint,
    Started,
    TokenClass,
    Tokens,
)
from paddler.messages.conversation import RequestedToolCall, TextPart
from paddler.messages.generation import (
    ConversationPrompt,
    ToolCall,
    ToolCallParseFailed,
    ToolCallsParsed,
)
from paddler.messages.templates import TemplateCheck

DEFAULT_TEMPLATE = "a template"


@dataclasses.dataclass(kw_only=True)
class ModelScript:
    """What a model file does: how it loads, and how it answers every prompt."""

    reply: str = "hello"
    token_class: TokenClass = TokenClass.CONTENT
    token_interval_s: float = 0.01
    load_s: float = 0.0
    load_error: errors.EngineError | None = None
    generation_error: errors.EngineError | None = None
    chat_template: str | None = DEFAULT_TEMPLATE
    can_generate: bool = True
    can_embed: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScriptedFacts:
    metadata: dict[str, str]
    chat_template: str | None
    can_generate: bool
    can_embed: bool
    n_parameters: int = 7
    size_bytes: int = 8
    n_vocab: int = 0x110000
    needs_checkpoints: bool = True


@dataclasses.dataclass(frozen=True)
class ScriptedConversation:
    text: str
    message_starts: Sequence[int]
    grammar: GrammarConstraint | None
    preserved_tokens: Sequence[int] = ()
    stops: Sequence[str] = ("<end>",)
    markers: Sequence[ClassMarker] = ()
    initial_class: TokenClass = TokenClass.CONTENT

    def tool_calls_so_far(self, output: str) -> list[RequestedToolCall]:
        pattern = r'"name": "(\w+)", "arguments": (\{[^{}]*\}?)?'
        return [
            RequestedToolCall(id="", name=name, arguments=arguments)
            for name, arguments in re.findall(pattern, output)
        ]

    def parse_tool_calls(self, output: str) -> ToolCallOutcome:
        if not output.startswith("["):
            return ToolCallsParsed([])
        try:
            calls = json.loads(output)
        except ValueError as error:
            return ToolCallParseFailed(str(error))
        return ToolCallsParsed(
            [
                ToolCall(f"call{i}", call["name"], json.dumps(call["arguments"]), True)
                for i, call in enumerate(calls)
            ]
        )


@dataclasses.dataclass(frozen=True)
class ScriptedTemplates:
    source: str

    def render(
        self, prompt: ConversationPrompt, *, json_schema: str | None = None
    ) -> ScriptedConversation:
        text, starts = "", []
        for message in prompt.messages:
            if message.role == "unheard-of":
                raise errors.BadTemplate("the template knows no such role")
            if message.role == "user":
                starts.append(len(text))
            content = message.content or ""
            if isinstance(content, list):
                content = "".join(
                    part.text if isinstance(part, TextPart) else MEDIA_MARKER for part in content
                )
            text += f"<{message.role}>{content}"
        if prompt.add_generation_prompt:
            text += "<assistant>"
        grammar = None
        if json_schema is not None:
            grammar = GrammarConstraint(text=f"template: {json_schema}")
        elif prompt.tools:
            grammar = GrammarConstraint(text="tools", lazy=True)
        return ScriptedConversation(text, starts, grammar)


@dataclasses.dataclass
class ScriptedMediaPrompt:
    """Every image has `IMAGE_TOKENS`."""

    text: str
    images: Sequence[Image]
    encode_s: float
    encoded: bool = False
    closed: bool = False

    IMAGE_TOKENS = 16

    @property
    def handle(self) -> object:
        return self

    @property
    def n_image_tokens(self) -> int:
        return self.IMAGE_TOKENS * len(self.images)

    @property
    def n_tokens(self) -> int:
        n_marker_tokens = len(MEDIA_MARKER) * len(self.images)
        return len(self.text) - n_marker_tokens + self.n_image_tokens

    n_positions = n_tokens

    @property
    def largest_image_tokens(self) -> int:
        return self.IMAGE_TOKENS

    largest_at_once_tokens = largest_image_tokens

    async def encode(self) -> None:
        await trio.sleep(self.encode_s)
        assert not self.closed
        self.encoded = True

    def close(self) -> None:
        self.closed = True


class ScriptedProjector:
    def __init__(self) -> None:
        self.prompts: list[ScriptedMediaPrompt] = []
        self.encode_s = 0.01

    async def make_prompt(self, text: str, images: Sequence[Image]) -> ScriptedMediaPrompt:
        await trio.lowlevel.checkpoint()
        self.prompts.append(ScriptedMediaPrompt(text, images, self.encode_s))
        return self.prompts[-1]


class ScriptedEmbedder:
    pooling_type = "Last"
    dimensions = 2

    def __init__(self, max_document_tokens: int) -> None:
        self.max_document_tokens = max_document_tokens

    async def embed(self, documents: Sequence[Sequence[int]]) -> list[bytes]:
        await trio.sleep(0.01)
        for document in documents:
            if document[-1] == ord("!"):
                raise errors.DecodeFailed("a document ends with an exclamation mark")
        return [struct.pack("<2f", 3.0, 4.0 * len(document)) for document in documents]


class ScriptedEngine:
    """One opened model; `requests` are those that were started."""

    def __init__(
        self,
        script: ModelScript,
        options: EngineOptions,
        chat_template_override: str | None,
        projector: ScriptedProjector | None = None,
    ) -> None:
        self.projector = projector
        self.script = script
        self.options = options
        self.requests: list[EngineRequest] = []
        self.closed = False
        self.n_generated = 0
        self.running: dict[int, str] = {}
        template = chat_template_override or script.chat_template
        self.facts = ScriptedFacts(
            metadata={"general.name": "scripted"},
            chat_template=script.chat_template,
            can_generate=script.can_generate,
            can_embed=script.can_embed,
        )
        self.context_tokens = options.context_tokens
        self.chat = self.chat_error = None
        if template == "broken":
            self.chat_error = errors.BadTemplate("line 1: unexpected end")
        elif template is not None:
            self.chat = ScriptedTemplates(template)
        embeds = options.enable_embeddings and script.can_embed
        self.embedder = ScriptedEmbedder(options.embedding_batch_tokens) if embeds else None
        self._free = list(range(options.n_slots))
        self._owners: dict[int, int] = {}
        self.limiter = trio.CapacityLimiter(options.n_slots)

    async def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        return [ord(character) for character in text]

    def check_grammar(self, text: str, root: str) -> None:
        if f"{root} ::=" not in text:
            raise errors.BadGrammar(f"there is no rule {root}")

    @contextlib.asynccontextmanager
    async def start(self, request: EngineRequest) -> AsyncGenerator[ScriptedGeneration, None]:
        if isinstance(request.media, ScriptedMediaPrompt):
            assert request.media.encoded
            assert not request.media.closed
        if len(request.prompt_tokens) >= self.context_tokens:
            raise errors.PromptTooLong("the prompt is too long")
        self.requests.append(request)
        yield ScriptedGeneration(self, request, len(self.requests))

    @property
    def kept_requests(self) -> list[int]:
        return list(self._owners.values())

    @contextlib.contextmanager
    def slot(self, request_id: int) -> Iterator[int]:
        slot = self._free.pop(0)
        self._owners.pop(slot, None)
        self.running[slot] = "decode"
        try:
            yield slot
        finally:
            self._owners[slot] = request_id
            del self.running[slot]
            self._free.append(slot)

    def stats(self) -> SimpleNamespace:
        return SimpleNamespace(
            slots=[
                SimpleNamespace(
                    phase=SimpleNamespace(value=self.running.get(slot, "free")), cached_tokens=0
                )
                for slot in range(self.options.n_slots)
            ],
            n_generated_tokens=self.n_generated,
            prefill_tokens_per_s=100.0 if self.n_generated else 0.0,
            prompt_cache_bytes=0,
            hits=dict.fromkeys(CacheKind, 0) | {CacheKind.NONE: len(self.requests)},
            evictions=0,
        )


class ScriptedGeneration:
    def __init__(self, engine: ScriptedEngine, request: EngineRequest, request_id: int) -> None:
        self.request_id = request_id
        self._engine = engine
        self._request = request

    async def batches(self) -> AsyncGenerator[list[EngineEvent], None]:
        engine, request, script = self._engine, self._request, self._engine.script
        async with engine.limiter:
            with engine.slot(self.request_id) as slot:
                n_prompt = len(request.prompt_tokens)
                if isinstance(request.media, ScriptedMediaPrompt):
                    n_prompt = request.media.n_tokens
                yield [Started(slot, n_prompt, 0, CacheKind.NONE)]
                text, n_sent = "", request.replay_sent_bytes
                reason = FinishReason.END_OF_GENERATION
                for n, character in enumerate(script.reply, 1):
                    if n > len(request.replay_tokens):
                        await trio.sleep(script.token_interval_s)
                    text += character
                    engine.n_generated += 1
                    stop = min(
                        (text.index(stop) for stop in request.stops if stop in text), default=None
                    )
                    is_last = n >= min(request.max_tokens, len(script.reply))
                    n_whole = len(text) - (0 if is_last else _held_back(text, request.stops))
                    n_whole = n_whole if stop is None else stop
                    emitted = text[n_sent:n_whole]
                    n_sent = max(n_sent, n_whole)
                    raw = character.encode() if request.with_raw_text else b""
                    if n > len(request.replay_tokens) or emitted or raw:
                        new = [ord(character)] if n > len(request.replay_tokens) else []
                        yield [Tokens(new, script.token_class, emitted, [], raw)]
                    if stop is not None:
                        reason = FinishReason.STOP_STRING
                        break
                    if n >= request.max_tokens:
                        reason = FinishReason.MAX_TOKENS
                        break
                if script.generation_error is not None:
                    raise script.generation_error
                yield [
                    Ended(
                        reason=reason,
                        n_generated={script.token_class: len(text)},
                        queued_ms=1.0,
                        prefill_ms=2.0,
                        decode_ms=3.0,
                        state_kept=True,
                    )
                ]


def _held_back(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end may become a stop string."""
    lengths = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return max(lengths, default=0)


class ScriptedBackend:
    """Opens scripted engines by file name; `opened` are all of them, in order."""

    llama_cpp_version = "scripted"

    def __init__(self, scripts: dict[str, ModelScript] | None = None) -> None:
        self.scripts = scripts or {}
        self.opened: list[ScriptedEngine] = []
        self.projectors = {"projector.gguf"}

    @property
    def open_engines(self) -> list[ScriptedEngine]:
        return [engine for engine in self.opened if not engine.closed]

    @contextlib.asynccontextmanager
    async def open(
        self,
        path: Path,
        options: EngineOptions,
        *,
        chat_template_override: str | None,
        projector_path: Path | None = None,
        on_progress: Callable[[float], None],
    ) -> AsyncGenerator[ScriptedEngine, None]:
        script = self.scripts.get(path.name)
        if script is None:
            raise errors.ModelFileNotFound(f"there is no file {path}")
        for step in range(5):
            on_progress(step / 5)
            await trio.sleep(script.load_s / 5)
        if script.load_error is not None:
            raise script.load_error
        projector = None
        if projector_path is not None:
            if projector_path.name not in self.projectors:
                raise errors.ProjectorFailed("no projector") from errors.BadModelFile(
                    "no projector"
                )
            projector = ScriptedProjector()
        engine = ScriptedEngine(script, options, chat_template_override, projector)
        self.opened.append(engine)
        try:
            yield engine
        finally:
            engine.closed = True

    async def try_template(self, source: str) -> TemplateCheck:
        await trio.sleep(0.01)
        if source == "broken":
            return TemplateCheck(error="line 1: unexpected end")
        return TemplateCheck(preview=f"{source}: Hello")

    def json_schema_to_grammar(self, schema: str) -> str:
        try:
            json.loads(schema)
        except ValueError as error:
            raise errors.BadSchema(str(error)) from None
        return f"root ::= {schema}"
