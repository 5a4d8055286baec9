"""`/v1/chat/completions`: the answer, whole and as a stream of chunks."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from typing_extensions import override

from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.streaming import AnyAnswer
from paddler.balancer.requests.items import GenerationItem
from paddler.balancer.services.openai.chat_request import ChatRequest, chat_order
from paddler.balancer.services.openai.errors import OpenAiError
from paddler.balancer.services.openai.generating import (
    AnswerWriter,
    Asked,
    OpenAiContext,
    generate,
)
from paddler.balancer.services.openai.logprobs import content_logprobs
from paddler.balancer.services.openai.outcome import Additions, Outcome, WrittenCall
from paddler.balancer.services.openai.parameters import seeded_choices
from paddler.balancer.services.openai.sse import DONE, data_event
from paddler.balancer.services.openai.usage import UsageTotal
from paddler.messages.decoding import decode_json
from paddler.messages.generation import TokenLogprobs
from paddler.version import paddler_version

_encode = msgspec.json.Encoder().encode

SYSTEM_FINGERPRINT = f"paddler-{paddler_version()}"


async def chat_completions(context: OpenAiContext, request: EdgeRequest) -> AnyAnswer:
    """Answer POST `/v1/chat/completions`."""
    asked = decode_json(request.content, ChatRequest)
    order = chat_order(asked, context.limits)
    answer_id = f"chatcmpl-{context.make_suffix()}"
    created = context.now()
    n_choices = asked.n or 1
    include_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)

    def make_writer(model: str) -> ChatWriter:
        return ChatWriter(
            answer_id=answer_id,
            created=created,
            model=model,
            n_choices=n_choices,
            with_logprobs=order.n_logprobs is not None,
            include_usage=include_usage,
        )

    return await generate(
        context,
        request,
        Asked(
            orders=seeded_choices(order, n_choices),
            model=asked.model,
            is_stream=bool(asked.stream),
            share_prompt=True,
        ),
        answer_id=answer_id,
        make_writer=make_writer,
    )


class ChatWriter(AnswerWriter):
    """Writes a chat completion.

    The parts of a chunk that do not change are encoded once: this is the hot
    path of the service.
    """

    def __init__(
        self,
        *,
        answer_id: str,
        created: int,
        model: str,
        n_choices: int,
        with_logprobs: bool,
        include_usage: bool,
    ) -> None:
        self._answer_id = answer_id
        self._created = created
        self._model = model
        self._with_logprobs = with_logprobs
        self._include_usage = include_usage
        self._outcomes = [Outcome() for _ in range(n_choices)]
        self._usage = UsageTotal()
        head = {
            "id": answer_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": SYSTEM_FINGERPRINT,
        }
        self._head = b'data: %b,"choices":[' % _encode(head)[:-1]
        # Clients that asked for the usage find the field in every chunk.
        self._tail = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
        self._content_heads = [
            self._head + b'{"index":%d,"delta":{"content":' % index for index in range(n_choices)
        ]
        self._content_tail = b'},"logprobs":null,"finish_reason":null}' + self._tail

    @override
    def begin(self) -> bytes:
        first: dict[str, object] = {"role": "assistant", "content": "", "refusal": None}
        return b"".join([self._chunk(index, first) for index in range(len(self._outcomes))])

    @override
    def write(self, choice: int, items: Sequence[GenerationItem]) -> bytes:
        outcome = self._outcomes[choice]
        n_calls = len(outcome.tool_calls)
        added = outcome.add(items)
        chunks: list[bytes] = []
        if added.reasoning:
            chunks.append(self._chunk(choice, {"reasoning_content": "".join(added.reasoning)}))
        if added.content or (added.logprobs and self._with_logprobs):
            chunks.append(self._content(choice, added))
        for position, arguments in added.calls.items():
            if position >= n_calls:
                chunks.append(
                    self._chunk(choice, _new_call(position, outcome.tool_calls[position]))
                )
            if arguments:
                chunks.append(self._chunk(choice, _more_arguments(position, arguments)))
        if outcome.is_over:
            if outcome.usage is not None:
                self._usage.add(outcome.usage, is_new_prompt=choice == 0)
            chunks.append(self._chunk(choice, {}, finish_reason=outcome.finish_reason))
        return b"".join(chunks)

    @override
    def end(self) -> bytes:
        if not self._include_usage:
            return DONE
        usage = _encode(self._usage.completion_usage())
        return b'%b],"usage":%b}\n\n%b' % (self._head, usage, DONE)

    @override
    def break_off(self, error: OpenAiError) -> bytes:
        return data_event(error.body()) + DONE

    @override
    def whole(self) -> bytes:
        return _encode(
            {
                "id": self._answer_id,
                "object": "chat.completion",
                "created": self._created,
                "model": self._model,
                "system_fingerprint": SYSTEM_FINGERPRINT,
                "choices": [
                    self._choice(index, outcome) for index, outcome in enumerate(self._outcomes)
                ],
                "usage": self._usage.completion_usage(),
            }
        )

    def _content(self, choice: int, added: Additions) -> bytes:
        text = "".join(added.content)
        if not self._with_logprobs:
            return self._content_heads[choice] + _encode(text) + self._content_tail
        return self._chunk(choice, {"content": text}, logprobs=added.logprobs)

    def _chunk(
        self,
        choice: int,
        delta: dict[str, object],
        *,
        finish_reason: str | None = None,
        logprobs: list[TokenLogprobs] | None = None,
    ) -> bytes:
        encoded = _encode(
            {
                "index": choice,
                "delta": delta,
                "logprobs": _logprobs(logprobs) if logprobs is not None else None,
                "finish_reason": finish_reason,
            }
        )
        return self._head + encoded + self._tail

    def _choice(self, index: int, outcome: Outcome) -> dict[str, object]:
        content = outcome.content
        message: dict[str, object] = {
            "role": "assistant",
            "content": content if content or not outcome.tool_calls else None,
            "refusal": None,
        }
        if outcome.reasoning:
            message["reasoning_content"] = outcome.reasoning
        if outcome.tool_calls:
            message["tool_calls"] = [_whole_call(call) for call in outcome.tool_calls]
        return {
            "index": index,
            "message": message,
            "logprobs": _logprobs(outcome.logprobs()) if self._with_logprobs else None,
            "finish_reason": outcome.finish_reason,
        }


def _logprobs(tokens: Sequence[TokenLogprobs]) -> dict[str, object]:
    return {"content": content_logprobs(tokens), "refusal": None}


def _whole_call(call: WrittenCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _new_call(position: int, call: WrittenCall) -> dict[str, object]:
    """A call as clients put it together: id and name first, then the arguments."""
    named = {
        "index": position,
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    return {"tool_calls": [named]}


def _more_arguments(position: int, arguments: str) -> dict[str, object]:
    return {"tool_calls": [{"index": position, "function": {"arguments": arguments}}]}
