"""`/v1/completions`: raw prompts, whole and as a stream of chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta
from typing_extensions import override

from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.streaming import AnyAnswer
from paddler.balancer.requests.items import GenerationItem
from paddler.balancer.services.openai.errors import BadRequest, OpenAiError
from paddler.balancer.services.openai.generating import (
    AnswerWriter,
    Asked,
    OpenAiContext,
    generate,
)
from paddler.balancer.services.openai.logprobs import CompletionLogprobs
from paddler.balancer.services.openai.outcome import Outcome
from paddler.balancer.services.openai.parameters import (
    MaxTokens,
    NChoices,
    NTopLogprobs,
    SamplingParameters,
    StreamOptions,
    seeded_choices,
)
from paddler.balancer.services.openai.sse import DONE, data_event
from paddler.balancer.services.openai.usage import UsageTotal
from paddler.messages.decoding import decode_json
from paddler.messages.generation import (
    GenerationOrder,
    InfillPrompt,
    RawPrompt,
    TokenLogprobs,
    TokenPrompt,
)
from paddler.messages.grammar import GbnfGrammar
from paddler.version import paddler_version

DEFAULT_MAX_TOKENS = 16
"""OpenAI's."""

_encode = msgspec.json.Encoder().encode

TokenIds = Annotated[list[int], Meta(min_length=1)]


class CompletionRequest(SamplingParameters, frozen=True, kw_only=True):
    """A completion of one or several raw prompts."""

    prompt: str | Annotated[list[str | int | TokenIds], Meta(min_length=1)]
    max_tokens: MaxTokens | None = None
    n: NChoices | None = None
    best_of: NChoices | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: NTopLogprobs | None = None
    grammar: str | None = None
    stream_options: StreamOptions | None = None


async def completions(context: OpenAiContext, request: EdgeRequest) -> AnyAnswer:
    """Answer POST `/v1/completions`."""
    asked = decode_json(request.content, CompletionRequest)
    prompts = _prompts(asked)
    n_choices = asked.n or 1
    _check(asked, prompts, n_choices, context)
    answer_id = f"cmpl-{context.make_suffix()}"
    created = context.now()
    include_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    echoes = [
        prompt.text if asked.echo and isinstance(prompt, RawPrompt) else "" for prompt in prompts
    ]

    def make_writer(model: str) -> CompletionWriter:
        return CompletionWriter(
            head={
                "id": answer_id,
                "object": "text_completion",
                "created": created,
                "model": model,
                "system_fingerprint": f"paddler-{paddler_version()}",
            },
            echoes=echoes,
            n_per_prompt=n_choices,
            with_logprobs=asked.logprobs is not None,
            include_usage=include_usage,
        )

    orders = [
        choice for prompt in prompts for choice in seeded_choices(_order(asked, prompt), n_choices)
    ]
    return await generate(
        context,
        request,
        Asked(
            orders=orders,
            model=asked.model,
            is_stream=bool(asked.stream),
            share_prompt=len(prompts) == 1,
        ),
        answer_id=answer_id,
        make_writer=make_writer,
    )


def _prompts(asked: CompletionRequest) -> list[RawPrompt | TokenPrompt]:
    """Each prompt of the request.

    Raises:
        BadRequest: Texts and token ids mixed.
    """
    prompt = asked.prompt
    if isinstance(prompt, str):
        return [RawPrompt(prompt)]
    token_ids = [each for each in prompt if isinstance(each, int)]
    if len(token_ids) == len(prompt):
        return [TokenPrompt(token_ids)]
    if token_ids:
        message = "`prompt` is a text, an array of texts, an array of token ids, or one of those"
        raise BadRequest(message, param="prompt")
    return [
        RawPrompt(each) if isinstance(each, str) else TokenPrompt(each)
        for each in prompt
        if not isinstance(each, int)
    ]


def _check(
    asked: CompletionRequest,
    prompts: Sequence[RawPrompt | TokenPrompt],
    n_choices: int,
    context: OpenAiContext,
) -> None:
    n_generations = len(prompts) * n_choices
    if n_generations > context.limits.max_choices:
        message = (
            f"{len(prompts)} prompts times n = {n_choices} are {n_generations} generations; "
            f"at most {context.limits.max_choices} are allowed"
        )
        raise BadRequest(message, param="n")
    if asked.suffix and any(isinstance(prompt, TokenPrompt) for prompt in prompts):
        message = "`suffix` together with token ids is not supported"
        raise BadRequest(message, param="suffix", code="unsupported_parameter")
    if asked.best_of is not None and asked.best_of != n_choices:
        message = "`best_of` other than `n` is not supported"
        raise BadRequest(message, param="best_of", code="unsupported_parameter")
    if not asked.echo:
        return
    if asked.logprobs is not None:
        message = "`echo` together with `logprobs` is not supported: prompts have no logprobs here"
        raise BadRequest(message, param="echo", code="unsupported_parameter")
    if any(isinstance(prompt, TokenPrompt) for prompt in prompts):
        message = "`echo` of token ids is not supported"
        raise BadRequest(message, param="echo", code="unsupported_parameter")


def _order(asked: CompletionRequest, prompt: RawPrompt | TokenPrompt) -> GenerationOrder:
    asked_of_model: RawPrompt | TokenPrompt | InfillPrompt = prompt
    if asked.suffix and isinstance(prompt, RawPrompt):
        asked_of_model = InfillPrompt(prompt.text, asked.suffix)
    return GenerationOrder(
        prompt=asked_of_model,
        max_tokens=asked.max_tokens or DEFAULT_MAX_TOKENS,
        grammar=GbnfGrammar(grammar=asked.grammar, root="root") if asked.grammar else None,
        sampling=asked.sampling(),
        stop=asked.stop_strings(),
        n_logprobs=asked.logprobs,
        ignore_eos=bool(asked.ignore_eos),
        conversation_id=asked.routing_hint(),
    )


class CompletionWriter(AnswerWriter):
    """Writes a completion; `echoes` are what stands in front, by prompt."""

    def __init__(
        self,
        *,
        head: dict[str, object],
        echoes: Sequence[str],
        n_per_prompt: int,
        with_logprobs: bool,
        include_usage: bool,
    ) -> None:
        self._head = head
        self._echoes = [echo for echo in echoes for _ in range(n_per_prompt)]
        self._n_per_prompt = n_per_prompt
        self._include_usage = include_usage
        self._outcomes = [Outcome() for _ in self._echoes]
        self._with_logprobs = with_logprobs
        self._logprobs = self._new_logprobs()
        self._usage = UsageTotal()
        self._chunk_head = b'data: %b,"choices":[' % _encode(head)[:-1]
        self._chunk_tail = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"

    @override
    def begin(self) -> bytes:
        return b"".join(
            [self._chunk(index, echo) for index, echo in enumerate(self._echoes) if echo]
        )

    @override
    def write(self, choice: int, items: Sequence[GenerationItem]) -> bytes:
        outcome = self._outcomes[choice]
        added = outcome.add(items)
        # Raw prompts have no template that could tell thoughts from answers.
        text = "".join([*added.reasoning, *added.content])
        if outcome.is_over and outcome.usage is not None:
            is_new_prompt = choice % self._n_per_prompt == 0
            self._usage.add(outcome.usage, is_new_prompt=is_new_prompt)
        if not (text or added.logprobs or outcome.is_over):
            return b""
        finish_reason = outcome.finish_reason if outcome.is_over else None
        return self._chunk(choice, text, finish_reason, added.logprobs)

    @override
    def end(self) -> bytes:
        if not self._include_usage:
            return DONE
        usage = _encode(self._usage.completion_usage())
        return b'%b],"usage":%b}\n\n%b' % (self._chunk_head, usage, DONE)

    @override
    def break_off(self, error: OpenAiError) -> bytes:
        return data_event(error.body()) + DONE

    @override
    def whole(self) -> bytes:
        self._logprobs = self._new_logprobs()
        choices = [
            self._choice(
                index,
                self._echoes[index] + outcome.reasoning + outcome.content,
                outcome.finish_reason,
                outcome.logprobs(),
            )
            for index, outcome in enumerate(self._outcomes)
        ]
        usage = self._usage.completion_usage()
        return _encode({**self._head, "choices": choices, "usage": usage})

    def _new_logprobs(self) -> list[CompletionLogprobs] | None:
        """Lists that start at the first character, once per way of writing the answer."""
        if not self._with_logprobs:
            return None
        return [CompletionLogprobs(len(echo)) for echo in self._echoes]

    def _chunk(
        self,
        choice: int,
        text: str,
        finish_reason: str | None = None,
        logprobs: Sequence[TokenLogprobs] = (),
    ) -> bytes:
        encoded = _encode(self._choice(choice, text, finish_reason, logprobs))
        return self._chunk_head + encoded + self._chunk_tail

    def _choice(
        self,
        index: int,
        text: str,
        finish_reason: str | None,
        logprobs: Sequence[TokenLogprobs],
    ) -> dict[str, object]:
        lists = self._logprobs[index].encode(logprobs) if self._logprobs is not None else None
        return {"index": index, "text": text, "logprobs": lists, "finish_reason": finish_reason}
