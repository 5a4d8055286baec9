"""One open engine with the requests that run on it, from loading to closing.

Nursery: `run` owns none of its own but the slot nursery within `Slots.run`.
Whoever starts `run` may cancel it while the model loads; once it is started,
`close` ends it in order: no new requests, time for those that run, the rest
handed over, the engine closed.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import cast

import trio

from paddler.agent.backend.protocol import Engine, EngineBackend, EngineOptions
from paddler.agent.prompts.images import ImageDecoder
from paddler.agent.requests.embedding import run_embedding
from paddler.agent.requests.generation import Serving, run_generation
from paddler.agent.requests.held_prompts import HeldPrompts
from paddler.agent.requests.running import SlotRequest, Slots
from paddler.agent.settings import AgentSettings
from paddler.agent.tool_calls.schemas import ToolSchemas
from paddler.concurrency.latest import Latest
from paddler.messages.link import Embed, ModelDescription
from paddler.messages.state import ApplicableState, InferenceParameters, Model, PoolingType

__all__ = ["EngineGeneration", "EngineKey", "run_engine_generation"]


@dataclasses.dataclass(frozen=True, slots=True)
class EngineKey:
    """What an engine was opened with: as long as it is the same, no reload is needed."""

    model: Model
    multimodal_projection: Model
    chat_template_override: str | None
    options: EngineOptions

    @staticmethod
    def of(state: ApplicableState, settings: AgentSettings) -> EngineKey:
        """What `state` needs of an engine; sampling and image size are not among it."""
        parameters = state.inference_parameters
        override = state.chat_template_override
        return EngineKey(
            model=state.model,
            multimodal_projection=state.multimodal_projection,
            chat_template_override=None if override is None else override.content,
            options=EngineOptions(
                n_slots=settings.slots,
                context_tokens=parameters.context_size,
                n_batch=parameters.n_batch,
                k_cache_dtype=parameters.k_cache_dtype,
                v_cache_dtype=parameters.v_cache_dtype,
                n_gpu_layers=parameters.n_gpu_layers,
                n_threads=settings.n_threads,
                prompt_cache_bytes=settings.prompt_cache_bytes,
                prefill_budget_ms=settings.prefill_budget_ms,
                enable_embeddings=parameters.enable_embeddings,
                embedding_batch_tokens=parameters.n_batch,
                pooling_type=parameters.pooling_type,
            ),
        )


class EngineGeneration:
    """An open engine that takes requests."""

    def __init__(
        self,
        key: EngineKey,
        engine: Engine,
        parameters: InferenceParameters,
        *,
        model_path: str,
        json_schema_to_grammar: Callable[[str], str],
        random_source: random.Random,
        activity: Latest[int],
    ) -> None:
        self.key = key
        self.engine = engine
        self.parameters = parameters
        self.held_prompts = HeldPrompts(lambda: engine.kept_requests)
        self.slots = Slots(key.options.n_slots, self._serve, activity)
        self.description = _describe(key, engine, model_path)
        self._json_schema_to_grammar = json_schema_to_grammar
        self._random = random_source
        self._tool_schemas = ToolSchemas()
        self._image_decoder = ImageDecoder()
        self.closing = trio.Event()
        self.closed = trio.Event()

    async def drain(self, timeout_s: float, reason: str) -> None:
        """Take nothing new, give what runs `timeout_s` to end, hand over the rest.

        Cancelled, it leaves the rest running; `slots.accept_again` undoes it.
        """
        self.slots.refuse(reason)
        with trio.move_on_after(timeout_s):
            await self.slots.wait_idle()
        self.slots.hand_over_all(reason)
        await self.slots.wait_idle()

    async def close(self) -> None:
        """Close the engine, and wait until it is closed; what still runs is cancelled."""
        self.closing.set()
        await self.closed.wait()

    async def _serve(self, request: SlotRequest) -> None:
        frame = request.frame
        if isinstance(frame, Embed):
            await run_embedding(frame, request.outlet, self.engine)
            return
        serving = Serving(
            engine=self.engine,
            parameters=self.parameters,
            n_batch=self.key.options.n_batch,
            image_decoder=self._image_decoder,
            json_schema_to_grammar=self._json_schema_to_grammar,
            random_source=self._random,
            held_prompts=self.held_prompts,
            tool_schemas=self._tool_schemas,
        )
        await run_generation(frame, request.outlet, serving)


async def run_engine_generation(
    backend: EngineBackend,
    path: Path,
    projector_path: Path | None,
    key: EngineKey,
    parameters: InferenceParameters,
    *,
    model_path: str,
    on_progress: Callable[[float], None],
    random_source: random.Random,
    activity: Latest[int],
    task_status: trio.TaskStatus[EngineGeneration],
) -> None:
    """Open a model, maybe with a projector, and serve requests until the generation is closed.

    Reports the generation as started once the model is loaded.

    Raises:
        EngineError: The model cannot be opened.
    """
    async with backend.open(
        path,
        key.options,
        chat_template_override=key.chat_template_override,
        projector_path=projector_path,
        on_progress=on_progress,
    ) as engine:
        generation = EngineGeneration(
            key,
            engine,
            parameters,
            model_path=model_path,
            json_schema_to_grammar=backend.json_schema_to_grammar,
            random_source=random_source,
            activity=activity,
        )
        task_status.started(generation)
        await generation.slots.run(generation.closing)
    generation.closed.set()


def _describe(key: EngineKey, engine: Engine, model_path: str) -> ModelDescription:
    facts, embedder = engine.facts, engine.embedder
    return ModelDescription(
        path=model_path,
        name=facts.metadata.get("general.name") or model_path,
        metadata=facts.metadata,
        chat_template=(
            facts.chat_template
            if key.chat_template_override is None
            else key.chat_template_override
        ),
        uses_chat_template_override=key.chat_template_override is not None,
        can_generate=facts.can_generate,
        can_embed=embedder is not None,
        supports_images=engine.projector is not None,
        context_tokens=engine.context_tokens,
        n_parameters=facts.n_parameters,
        size_bytes=facts.size_bytes,
        pooling_type=None if embedder is None else cast("PoolingType", embedder.pooling_type),
    )
