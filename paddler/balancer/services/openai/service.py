"""The routes of the OpenAI-compatible service."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

from paddler.balancer.deployments.readiness import reason_not_ready
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.handlers import EdgeRequest, Handler
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.streaming import Answer, AnyAnswer, text_answer
from paddler.balancer.requests.embedding_batches import Embeddings
from paddler.balancer.requests.generations import Generations
from paddler.balancer.services.openai.chat import chat_completions
from paddler.balancer.services.openai.choices import GenerationRunner
from paddler.balancer.services.openai.completions import completions
from paddler.balancer.services.openai.embeddings import embeddings
from paddler.balancer.services.openai.errors import known_error, render_error
from paddler.balancer.services.openai.generating import OpenAiContext, new_suffix, unix_time
from paddler.balancer.services.openai.limits import DEFAULT_OPENAI_LIMITS, OpenAiLimits
from paddler.balancer.services.openai.models import Models
from paddler.balancer.services.openai.responses import responses

BROWSER_HEADERS = ", ".join(
    [
        "Accept, Authorization, Content-Type, Idempotency-Key",
        "OpenAI-Beta, OpenAI-Organization, OpenAI-Project",
        "X-Stainless-Arch, X-Stainless-Async, X-Stainless-Helper-Method, X-Stainless-Lang",
        "X-Stainless-OS, X-Stainless-Package-Version, X-Stainless-Retry-Count",
        "X-Stainless-Runtime, X-Stainless-Runtime-Version, X-Stainless-Timeout",
    ]
)
"""What OpenAI's JavaScript client sends, and a browser asks leave for."""

Endpoint = Callable[[OpenAiContext, EdgeRequest], Awaitable[AnyAnswer]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenAiService:
    """What the OpenAI-compatible service needs of the balancer.

    `accept_any_model`: requests may name any model and get the one that is
    served. `make_suffix` makes the random part of ids, `now` is in seconds
    since 1970.
    """

    generations: Generations
    embeddings: Embeddings
    fleet: Fleet
    limits: OpenAiLimits = DEFAULT_OPENAI_LIMITS
    accept_any_model: bool = False
    make_suffix: Callable[[], str] = new_suffix
    now: Callable[[], int] = unix_time

    def make_app(self, *, edge_limits: EdgeLimits, cors: CorsPolicy) -> EdgeApp:
        """The service's routes, ready to be served."""
        app = EdgeApp("openai", limits=edge_limits, cors=cors, render_error=render_error)
        context = OpenAiContext(
            runner=GenerationRunner(
                generations=self.generations, capacity=self.limits.max_waiting_items
            ),
            fleet=self.fleet,
            limits=self.limits,
            accept_any_model=self.accept_any_model,
            make_suffix=self.make_suffix,
            now=self.now,
        )
        models = Models(self.fleet, self.now())

        async def answer_embeddings(request: EdgeRequest) -> AnyAnswer:
            return await embeddings(context, self.embeddings, request)

        app.add_route("GET", "/health", self._health)
        app.add_route("GET", "/ready", self._ready)
        app.add_route("POST", "/v1/chat/completions", _endpoint(context, chat_completions))
        app.add_route("POST", "/v1/completions", _endpoint(context, completions))
        app.add_route("POST", "/v1/responses", _endpoint(context, responses))
        app.add_route("POST", "/v1/embeddings", _with_known_errors(answer_embeddings))
        app.add_route("GET", "/v1/models", models.all)
        app.add_route("GET", "/v1/models/<path:name>", _with_known_errors(models.one))
        return app

    async def _health(self, request: EdgeRequest) -> Answer:
        return text_answer("OK")

    async def _ready(self, request: EdgeRequest) -> Answer:
        reason = reason_not_ready(self.fleet)
        return text_answer("OK") if reason is None else text_answer(reason, 503)


def _endpoint(context: OpenAiContext, endpoint: Endpoint) -> Handler:
    async def handle(request: EdgeRequest) -> AnyAnswer:
        return await endpoint(context, request)

    return _with_known_errors(handle)


def _with_known_errors(handler: Handler) -> Handler:
    """`handler`, with errors that clients may meet as answers in OpenAI's shape."""

    async def handle(request: EdgeRequest, **arguments: object) -> AnyAnswer:
        try:
            return await handler(request, **arguments)
        except Exception as error:  # anything else is left to the request's boundary
            known = known_error(error)
            if known is None:
                raise
            return known.answer()

    return handle
