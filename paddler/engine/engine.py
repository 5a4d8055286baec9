"""The engine: one model with its slots, chat templates and embeddings.

This is what the rest of the program sees. Opening it loads the model; closing
it frees everything, in the reverse order.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from pathlib import Path

import trio

from paddler.engine import errors
from paddler.engine.chat import ChatTemplates
from paddler.engine.embeddings import EmbeddingEngine
from paddler.engine.images import Projector, open_projector
from paddler.engine.model import Model, ModelFacts, open_model
from paddler.engine.requests import EngineEvent, EngineRequest
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import EngineStats, Generation, SlotEngine, open_slots
from paddler.engine.template_probe import try_template


class Engine:
    """A loaded model, ready for requests. Made by `Engine.open`.

    Attributes:
        facts: What the model says about itself.
        chat: The chat template in use; None where there is none.
        chat_error: Why the template does not compile, if it does not.
        embedder: None unless embeddings are enabled.
        projector: None unless one was given; makes prompts with images.
    """

    def __init__(
        self,
        model: Model,
        slots: SlotEngine | None,
        embedder: EmbeddingEngine | None,
        projector: Projector | None,
        chat: ChatTemplates | None,
        chat_error: errors.BadTemplate | None,
    ) -> None:
        self._model = model
        self._slots = slots
        self.facts: ModelFacts = model.facts
        self.embedder = embedder
        self.projector = projector
        self.chat = chat
        self.chat_error = chat_error

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        path: Path,
        settings: EngineSettings,
        *,
        chat_template_override: str | None = None,
        projector_path: Path | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> AsyncIterator[Engine]:
        """Load `path` and open its slots; free everything on exit.

        A model that can only embed gets no slots; one whose embeddings are not
        enabled gets no embedder. A template that does not compile is not an
        error here: see `chat_error`.

        Args:
            path: A GGUF file; of a split model the first one.
            settings: Fixed while the engine is open.
            chat_template_override: Jinja source used instead of the model's.
            projector_path: A GGUF file that turns images into embeddings.
            on_progress: Called with 0..1 while the file is loaded.

        Raises:
            ModelFileNotFound, ModelFileUnreadable, BadModelFile: The file.
            InvalidArgument, OutOfMemory, Unsupported: The settings, for it.
            ProjectorFailed: The projector; its cause is one of the above.

        Cancelling aborts the load.
        """
        async with contextlib.AsyncExitStack() as stack:
            model = await stack.enter_async_context(
                open_model(path, n_gpu_layers=settings.n_gpu_layers, on_progress=on_progress)
            )
            chat: ChatTemplates | None = None
            chat_error: errors.BadTemplate | None = None
            template = chat_template_override
            if template is None:
                template = model.facts.chat_template
            try:
                if template is not None:
                    check = await try_template(template)
                    if check.error is not None:
                        raise errors.BadTemplate(check.error)
                chat = await trio.to_thread.run_sync(
                    ChatTemplates.open, model.handle, chat_template_override
                )
            except errors.BadTemplate as error:
                chat_error = error
            if chat is not None:
                stack.callback(chat.close)
            projector: Projector | None = None
            if projector_path is not None:
                try:
                    projector = await stack.enter_async_context(
                        open_projector(
                            model,
                            projector_path,
                            use_gpu=settings.n_gpu_layers != 0,
                            n_threads=settings.n_threads,
                        )
                    )
                except errors.EngineError as error:
                    raise errors.ProjectorFailed(str(error)) from error
            slots: SlotEngine | None = None
            if model.facts.can_generate:
                slots = await stack.enter_async_context(open_slots(model, settings))
            embedder: EmbeddingEngine | None = None
            if settings.enable_embeddings and model.facts.can_embed:
                embedder = await stack.enter_async_context(EmbeddingEngine.open(model, settings))
            yield cls(model, slots, embedder, projector, chat, chat_error)

    @property
    def can_generate(self) -> bool:
        """Whether there are slots."""
        return self._slots is not None

    @property
    def context_tokens(self) -> int:
        """Tokens that fit one slot; 0 without slots."""
        return 0 if self._slots is None else self._slots.context_tokens

    async def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Token ids of `text`; see `Model.tokenize`."""
        return await self._model.tokenize(
            text, add_special=add_special, parse_special=parse_special
        )

    def token_bytes(self, token_id: int, *, special: bool = True) -> bytes:
        """The text of one token; see `Model.token_bytes`."""
        return self._model.token_bytes(token_id, special=special)

    def check_grammar(self, text: str, root: str) -> None:
        """Parse GBNF; raises BadGrammar."""
        self._model.check_grammar(text, root)

    def start(self, request: EngineRequest) -> contextlib.AbstractAsyncContextManager[Generation]:
        """Queue a request; see `SlotEngine.start`.

        Raises:
            Unsupported: The model cannot generate.
        """
        return self._require_slots().start(request)

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineEvent, None]:
        """Yield the events of one request, up to `Ended`.

        Cancelling the scope around it cancels the request, and its slot is
        free before the scope exits. Use `contextlib.aclosing` when leaving the
        loop early.

        Raises: what `start` and `Generation.batches` raise.
        """
        async with (
            self.start(request) as generation,
            contextlib.aclosing(generation.batches()) as batches,
        ):
            async for batch in batches:
                for event in batch:
                    yield event

    @property
    def kept_requests(self) -> Collection[int]:
        """See `SlotEngine.kept_requests`; none without slots."""
        return () if self._slots is None else self._slots.kept_requests

    def stats(self) -> EngineStats | None:
        """Counters and slots; None without slots."""
        return None if self._slots is None else self._slots.stats()

    def _require_slots(self) -> SlotEngine:
        if self._slots is None:
            message = "this model cannot generate text: it is made for embeddings"
            raise errors.Unsupported(message)
        return self._slots
