"""One generation on a slot, from the order to its last event.

Runs in the request's own task: cancelling that stops the engine's work and
frees the slot. Rendering and parsing of long texts happen in worker threads,
so that a large conversation does not delay the tokens of others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing

import trio

from paddler.agent.backend.protocol import Engine, MediaPrompt, RenderedConversation
from paddler.agent.prompts.images import ImageDecoder, image_urls
from paddler.agent.prompts.infill import infill_tokens
from paddler.agent.prompts.media_prompts import check_image_sizes, make_media_prompt
from paddler.agent.request_errors import RequestEnded, failed, failure_event
from paddler.agent.requests.held_prompts import HeldPrompts
from paddler.agent.requests.report import GenerationReport
from paddler.agent.requests.running import Outlet
from paddler.agent.requests.translation import check_order, resolve_sampling, room_for
from paddler.agent.requests.worker_threads import off_the_loop
from paddler.agent.tool_calls.schemas import ToolSchemas
from paddler.engine.errors import BadSchema, EngineClosed, EngineError
from paddler.engine.requests import (
    Ended,
    EngineRequest,
    GrammarConstraint,
    Started,
    Tokens,
)
from paddler.messages.generation import (
    ConversationPrompt,
    GenerationFailure,
    GenerationOrder,
    GenerationRefused,
    InfillPrompt,
    RawPrompt,
    TokenPrompt,
    ToolChoice,
)
from paddler.messages.grammar import GbnfGrammar, JsonSchemaGrammar
from paddler.messages.link import Generate
from paddler.messages.state import InferenceParameters

__all__ = ["Serving", "run_generation"]

logger = logging.getLogger(__name__)

MAX_CHECKPOINTS = 2
"""The last message starts: where the next turn's prompt probably diverges.

Messages begin at special tokens in practically every template, so the tokens
of a prefix are a prefix of the tokens.
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a request is served with; taken once, when it starts."""

    engine: Engine
    parameters: InferenceParameters
    n_batch: int
    image_decoder: ImageDecoder
    json_schema_to_grammar: Callable[[str], str]
    random_source: random.Random
    held_prompts: HeldPrompts
    tool_schemas: ToolSchemas


@dataclasses.dataclass(frozen=True, slots=True)
class _Prepared:
    """A prompt in the engine's terms; `rendered` is there for conversations."""

    tokens: Sequence[int]
    grammar: GrammarConstraint | None
    checkpoints: Sequence[int] = ()
    rendered: RenderedConversation | None = None
    media: MediaPrompt | None = None

    @property
    def n_tokens(self) -> int:
        """Of text and images."""
        return len(self.tokens) if self.media is None else self.media.n_tokens

    @property
    def n_positions(self) -> int:
        """What it takes of a slot's context."""
        return len(self.tokens) if self.media is None else self.media.n_positions

    @property
    def n_image_tokens(self) -> int:
        """How many of the tokens are images."""
        return 0 if self.media is None else self.media.n_image_tokens


async def run_generation(frame: Generate, outlet: Outlet, serving: Serving) -> None:
    """Serve `frame` and post everything it has to tell, terminal event included."""
    try:
        await _generate(frame, outlet, serving)
    except RequestEnded as end:
        outlet.post(end.event)
    except EngineClosed:
        outlet.hand_over("the engine closes")
    except EngineError as error:
        logger.info(
            "generation_failed request=%d error=%s: %s",
            frame.request_id,
            type(error).__name__,
            error,
        )
        outlet.post(failure_event(error))


async def _generate(frame: Generate, outlet: Outlet, serving: Serving) -> None:
    order = frame.order
    if not serving.engine.facts.can_generate:
        message = "the model makes embeddings only"
        raise failed(GenerationFailure.TOKEN_GENERATION_DISABLED, message)
    check_order(order, supports_images=serving.engine.projector is not None)
    await _check_tools(order, serving)
    prepared = await _prepare(order, serving)
    media = prepared.media
    if media is None:
        await _run(frame, prepared, outlet, serving)
        return
    with contextlib.closing(media):
        check_image_sizes(media, serving.n_batch)
        await _run(frame, prepared, outlet, serving)


async def _run(frame: Generate, prepared: _Prepared, outlet: Outlet, serving: Serving) -> None:
    order = frame.order
    max_tokens = room_for(
        order.max_tokens,
        n_prompt_tokens=prepared.n_positions,
        context_tokens=serving.engine.context_tokens,
    )
    if prepared.media is not None:
        # Only now, as this is what takes long: nothing is left to refuse.
        await prepared.media.encode()
    request = _engine_request(frame, prepared, max_tokens, serving)
    report = GenerationReport(
        order,
        prepared.rendered,
        outlet,
        n_prompt_tokens=prepared.n_tokens,
        clock=trio.lowlevel.current_clock().current_time,
    )
    held = serving.held_prompts
    async with serving.engine.start(request) as generation:
        try:
            async with aclosing(generation.batches()) as batches:
                async for batch in batches:
                    for event in batch:
                        match event:
                            case Tokens():
                                report.add(event)
                            case Started():
                                report.begin(event)
                                held.began(generation.request_id, frame.prefix_chain)
                            case Ended():
                                await report.end(event, n_image_tokens=prepared.n_image_tokens)
                    await report.tell_tool_calls()
        finally:
            held.ended(generation.request_id)


def _engine_request(
    frame: Generate, prepared: _Prepared, max_tokens: int, serving: Serving
) -> EngineRequest:
    order, rendered, resume = frame.order, prepared.rendered, frame.resume
    request = EngineRequest(
        prompt_tokens=prepared.tokens,
        media=prepared.media,
        max_tokens=max_tokens,
        sampling=resolve_sampling(
            serving.parameters, order.sampling, random_seed=serving.random_source.getrandbits(32)
        ),
        stops=order.stop,
        grammar=prepared.grammar,
        checkpoints=prepared.checkpoints,
        replay_tokens=resume.token_ids if resume is not None else (),
        replay_sent_bytes=resume.n_sent_bytes if resume is not None else 0,
        n_logprobs=order.n_logprobs,
        ignore_end=order.ignore_eos,
    )
    if rendered is None:
        return request
    return dataclasses.replace(
        request,
        stops=[*order.stop, *rendered.stops],
        preserved_tokens=rendered.preserved_tokens,
        initial_class=rendered.initial_class,
        markers=rendered.markers,
        with_raw_text=order.parse_tool_calls,
    )


async def _check_tools(order: GenerationOrder, serving: Serving) -> None:
    if isinstance(order.prompt, ConversationPrompt) and order.prompt.tools:
        problem = await serving.tool_schemas.problem(order.prompt.tools)
        if problem is not None:
            raise failed(GenerationFailure.TOOL_SCHEMA_INVALID, problem)


async def _prepare(order: GenerationOrder, serving: Serving) -> _Prepared:
    engine, prompt = serving.engine, order.prompt
    grammar = await _grammar(order, serving)
    match prompt:
        case RawPrompt(text):
            return _Prepared(tokens=await engine.tokenize(text), grammar=grammar)
        case TokenPrompt(token_ids):
            _check_tokens(token_ids, engine.facts.n_vocab)
            return _Prepared(tokens=token_ids, grammar=grammar)
        case InfillPrompt():
            return _Prepared(tokens=await infill_tokens(prompt, engine.tokenize), grammar=grammar)
        case ConversationPrompt():
            rendered = await _render(prompt, order, serving)
            grammar = _chosen_grammar(order, grammar, rendered.grammar)
            starts = _worth_a_checkpoint(rendered, engine)
            if urls := list(image_urls(prompt)):
                fit_pixels = serving.parameters.image_resize_to_fit
                images = [
                    await serving.image_decoder.decode(url, fit_pixels=fit_pixels) for url in urls
                ]
                media, checkpoints = await make_media_prompt(engine, rendered.text, images, starts)
                return _Prepared((), grammar, checkpoints, rendered, media)
            return _Prepared(
                tokens=await engine.tokenize(rendered.text),
                grammar=grammar,
                checkpoints=[len(await engine.tokenize(rendered.text[:end])) for end in starts],
                rendered=rendered,
            )


def _worth_a_checkpoint(rendered: RenderedConversation, engine: Engine) -> list[int]:
    """Offsets of characters; none where a sequence can be cut anywhere."""
    if not engine.facts.needs_checkpoints:
        return []
    return [start for start in rendered.message_starts if start > 0][-MAX_CHECKPOINTS:]


async def _render(
    prompt: ConversationPrompt, order: GenerationOrder, serving: Serving
) -> RenderedConversation:
    engine = serving.engine
    if engine.chat_error is not None:
        raise failed(GenerationFailure.CHAT_TEMPLATE_ERROR, str(engine.chat_error))
    chat = engine.chat
    if chat is None:
        message = "the model has no chat template, and no override is set"
        raise failed(GenerationFailure.CHAT_TEMPLATE_ERROR, message)
    json_schema = order.grammar.schema if isinstance(order.grammar, JsonSchemaGrammar) else None
    try:
        rendered = await off_the_loop(
            _n_chars(prompt), lambda: chat.render(prompt, json_schema=json_schema)
        )
    except BadSchema as error:
        # The request's own schema was tried before, so it is that of a tool.
        raise failed(GenerationFailure.TOOL_SCHEMA_INVALID, str(error)) from None
    if prompt.tools and prompt.tool_choice is ToolChoice.REQUIRED and rendered.grammar is None:
        message = "a tool call is required, but the chat template has no format for tool calls"
        raise failed(GenerationFailure.CHAT_TEMPLATE_ERROR, message)
    return rendered


async def _grammar(order: GenerationOrder, serving: Serving) -> GrammarConstraint | None:
    """The request's own grammar, checked; raises `BadGrammar` or `BadSchema`."""
    match order.grammar:
        case GbnfGrammar(text, root):
            await off_the_loop(len(text), lambda: serving.engine.check_grammar(text, root))
            return GrammarConstraint(text=text, root=root)
        case JsonSchemaGrammar(schema):
            text = await off_the_loop(len(schema), lambda: serving.json_schema_to_grammar(schema))
            return GrammarConstraint(text=text)
        case None:
            return None


def _chosen_grammar(
    order: GenerationOrder, own: GrammarConstraint | None, rendered: GrammarConstraint | None
) -> GrammarConstraint | None:
    """The request's own grammar rules over what the template makes of its tools.

    A schema went into the template too, which knows where the answer begins in
    its format; what it made of it counts unless it constrains only tool calls.
    """
    if own is None:
        return rendered
    if isinstance(order.grammar, JsonSchemaGrammar) and rendered is not None and not rendered.lazy:
        return rendered
    return own


def _check_tokens(token_ids: Sequence[int], n_vocab: int) -> None:
    for token_id in token_ids:
        if not 0 <= token_id < n_vocab:
            message = f"token {token_id} is not in the model's vocabulary of {n_vocab}"
            raise RequestEnded(GenerationRefused(400, message))
    if not token_ids:
        raise RequestEnded(GenerationRefused(400, "the prompt has no tokens"))


def _n_chars(prompt: ConversationPrompt) -> int:
    """Roughly how much there is to render."""
    n_chars = 0
    for message in prompt.messages:
        if isinstance(message.content, str):
            n_chars += len(message.content)
        elif message.content is not None:
            n_chars += sum(len(getattr(part, "text", "")) for part in message.content)
    return n_chars + sum(len(str(tool.parameters)) for tool in prompt.tools)
