"""`/v1/responses`: the handler, and the response object."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.streaming import AnyAnswer
from paddler.balancer.services.openai.generating import Asked, OpenAiContext, generate
from paddler.balancer.services.openai.response_events import ResponseFacts, ResponseWriter
from paddler.balancer.services.openai.responses_request import ResponsesRequest, responses_order
from paddler.messages.decoding import decode_json


async def responses(context: OpenAiContext, request: EdgeRequest) -> AnyAnswer:
    """Answer POST `/v1/responses`."""
    asked = decode_json(request.content, ResponsesRequest)
    order = responses_order(asked, context.limits)
    response_id = f"resp_{context.make_suffix()}"
    created = context.now()
    echoed = _echoed(asked, msgspec.json.decode(request.content, type=dict[str, object]))

    def make_writer(model: str) -> ResponseWriter:
        facts = ResponseFacts(
            response_id=response_id,
            created=created,
            model=model,
            echoed=echoed,
            with_logprobs=order.n_logprobs is not None,
        )
        return ResponseWriter(facts, context.make_suffix, context.now)

    return await generate(
        context,
        request,
        Asked(
            orders=[order],
            model=asked.model,
            is_stream=bool(asked.stream),
            share_prompt=True,
        ),
        answer_id=response_id,
        make_writer=make_writer,
    )


def _echoed(asked: ResponsesRequest, sent: Mapping[str, object]) -> dict[str, object]:
    """The parameters that a response repeats, defaults filled in."""
    return {
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "metadata": sent.get("metadata") or {},
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {
            "effort": asked.reasoning.effort if asked.reasoning is not None else None,
            "summary": None,
        },
        "store": False,
        "background": False,
        "service_tier": "default",
        "temperature": asked.temperature,
        "text": sent.get("text") or {"format": {"type": "text"}},
        "tool_choice": sent.get("tool_choice") or "auto",
        "tools": sent.get("tools") or [],
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": asked.top_p,
        "truncation": "disabled",
        "user": asked.user,
    }
