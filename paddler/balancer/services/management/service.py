"""The routes of the management service."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
import trio
from werkzeug.exceptions import NotFound

from paddler.balancer.deployments.desired_state import DesiredStates
from paddler.balancer.deployments.readiness import reason_not_ready
from paddler.balancer.dispatch.buffer import Buffer
from paddler.balancer.fleet.agent_link import LinkLimits
from paddler.balancer.fleet.agents import AgentRecord
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.fleet.handshake import serve_agent_link
from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.sockets import Socket
from paddler.balancer.http_edge.streaming import (
    PLAIN_TEXT,
    Answer,
    StreamedAnswer,
    json_answer,
    text_answer,
)
from paddler.balancer.services.management.agent_socket import AgentSocketChannel
from paddler.balancer.services.management.dashboard import Dashboard, model_details
from paddler.balancer.services.management.event_streams import event_stream
from paddler.messages.agents import BufferedRequestsSnapshot
from paddler.messages.decoding import decode_json
from paddler.messages.link import MAX_FRAME_BYTES, CheckTemplate
from paddler.messages.state import decode_desired_state
from paddler.messages.templates import TemplateSource

TEMPLATE_CHECK_S = 20.0
"""An agent gives a template half of this."""

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def error_answer(code: int, description: str) -> Answer:
    """An error as this service tells it: one line of text."""
    return text_answer(description, code)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ManagementService:
    """What the management service needs of the balancer.

    `metrics_text` makes the Prometheus exposition.
    """

    fleet: Fleet
    buffer: Buffer
    states: DesiredStates
    metrics_text: Callable[[], bytes]
    dashboard: Dashboard
    link_limits: LinkLimits | None = None

    def make_app(self, *, edge_limits: EdgeLimits, cors: CorsPolicy) -> EdgeApp:
        """The service's routes, ready to be served."""
        limits = dataclasses.replace(edge_limits, max_message_bytes=MAX_FRAME_BYTES)
        app = EdgeApp("management", limits=limits, cors=cors, render_error=error_answer)
        app.add_route("GET", "/health", self._health)
        app.add_route("GET", "/ready", self._ready)
        app.add_route("GET", "/metrics", self._metrics)
        app.add_route("GET", "/api/v1/agents", self._agents)
        app.add_route("GET", "/api/v1/buffered_requests", self._buffered_requests)
        app.add_route("GET", "/api/v1/balancer_desired_state", self._desired_state)
        app.add_route("PUT", "/api/v1/balancer_desired_state", self._put_desired_state)
        app.add_route("GET", "/api/v1/balancer_applicable_state", self._applicable_state)
        app.add_route(
            "GET", "/api/v1/agent/<agent_id>/chat_template_override", self._template_override
        )
        app.add_route("GET", "/api/v1/agent/<agent_id>/model_metadata", self._model_metadata)
        app.add_route("GET", "/api/v1/agent/<agent_id>/model", self._model)
        app.add_route("GET", "/api/v1/dashboard", self._dashboard)
        app.add_route("GET", "/api/v1/dashboard/history", self._dashboard_history)
        app.add_route("POST", "/api/v1/chat_template_check", self._check_template)
        app.add_socket_route("/api/v1/agent_socket/<agent_id>", self._agent_socket)

        async def agents_stream(request: EdgeRequest) -> StreamedAnswer:
            return event_stream(self.fleet.changes, self._agents_json, app.stopping)

        async def buffered_requests_stream(request: EdgeRequest) -> StreamedAnswer:
            return event_stream(self.buffer.waiting, self._buffered_requests_json, app.stopping)

        async def dashboard_stream(request: EdgeRequest) -> StreamedAnswer:
            return event_stream(self.dashboard.changes, self.dashboard.json, app.stopping)

        app.add_route("GET", "/api/v1/dashboard/stream", dashboard_stream)
        app.add_route("GET", "/api/v1/agents/stream", agents_stream)
        app.add_route("GET", "/api/v1/buffered_requests/stream", buffered_requests_stream)
        return app

    async def _health(self, request: EdgeRequest) -> Answer:
        return text_answer("OK")

    async def _ready(self, request: EdgeRequest) -> Answer:
        reason = reason_not_ready(self.fleet)
        return text_answer("OK") if reason is None else text_answer(reason, 503)

    async def _metrics(self, request: EdgeRequest) -> Answer:
        return Answer(body=self.metrics_text(), content_type=METRICS_TYPE)

    def _agents_json(self) -> bytes:
        return msgspec.json.encode(self.fleet.snapshot())

    async def _agents(self, request: EdgeRequest) -> Answer:
        return Answer(body=self._agents_json())

    def _buffered_requests_json(self) -> bytes:
        return msgspec.json.encode(BufferedRequestsSnapshot(self.buffer.waiting.value))

    async def _buffered_requests(self, request: EdgeRequest) -> Answer:
        return Answer(body=self._buffered_requests_json())

    async def _desired_state(self, request: EdgeRequest) -> Answer:
        return json_answer(self.states.desired)

    async def _put_desired_state(self, request: EdgeRequest) -> Answer:
        await self.states.put(decode_desired_state(request.content))
        return Answer(status=204, content_type=PLAIN_TEXT)

    async def _applicable_state(self, request: EdgeRequest) -> Answer:
        return json_answer(self.states.applicable)

    async def _check_template(self, request: EdgeRequest) -> Answer:
        source = decode_json(request.content, TemplateSource).content
        with trio.move_on_after(TEMPLATE_CHECK_S):
            answer = await self.fleet.ask_any(CheckTemplate(source))
            if answer is None:
                return error_answer(503, "no agent is connected that could try the template")
            return json_answer(answer.check)
        return error_answer(504, f"no agent tried the template within {TEMPLATE_CHECK_S:g} s")

    async def _template_override(self, request: EdgeRequest, agent_id: str) -> Answer:
        model = self._record(agent_id).description
        if model is None or not model.uses_chat_template_override:
            return json_answer(None)
        return json_answer({"content": model.chat_template})

    async def _model_metadata(self, request: EdgeRequest, agent_id: str) -> Answer:
        model = self._record(agent_id).description
        return json_answer({"metadata": model.metadata} if model is not None else None)

    async def _model(self, request: EdgeRequest, agent_id: str) -> Answer:
        model = self._record(agent_id).description
        return json_answer(model_details(model) if model is not None else None)

    async def _dashboard(self, request: EdgeRequest) -> Answer:
        return Answer(body=self.dashboard.json())

    async def _dashboard_history(self, request: EdgeRequest) -> Answer:
        return json_answer(self.dashboard.history.snapshot())

    async def _agent_socket(self, socket: Socket, agent_id: str) -> None:
        channel = AgentSocketChannel(socket)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at, socket.stopping, nursery.cancel_scope)
            await serve_agent_link(self.fleet, agent_id, channel, self.link_limits)
            nursery.cancel_scope.cancel()

    def _record(self, agent_id: str) -> AgentRecord:
        record = self.fleet.agent(agent_id)
        if record is None:
            raise NotFound(f"no agent with the id {agent_id} is connected")
        return record


async def _cancel_at(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
