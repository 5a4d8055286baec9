"""One service's routes, and what its errors look like.

A handler is `async def handler(request, **path_arguments) -> Answer | StreamedAnswer`,
a WebSocket's is `async def handler(socket, **path_arguments) -> None`. Quart
matches routes and parses requests; its request context is not used, so that
handlers get everything as arguments.

Errors are caught here, where the handler's call ends: quart-trio would drop
those that arrive together with a cancellation.
"""

from __future__ import annotations

import logging
import typing
from collections.abc import Sequence

import trio
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.error_table import status_of
from paddler.balancer.http_edge.handlers import (
    EdgeRequest,
    Guard,
    Handler,
    RenderError,
    SocketHandler,
)
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.request_nursery import RequestConnection
from paddler.balancer.http_edge.sockets import SocketConnection
from paddler.balancer.http_edge.streaming import PLAIN_TEXT, Answer, AnyAnswer

if typing.TYPE_CHECKING:
    from quart.wrappers.base import BaseRequestWebsocket

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 1


class EdgeApp(QuartTrio):
    """Routes of one service.

    Args:
        name: How the service is called in logs.
        limits: Limits on bodies and messages.
        cors: Which origins are allowed.
        render_error: Makes the answer for a status and a description.
        guards: Called with every request and WebSocket before its handler;
            one that raises refuses it.
    """

    asgi_http_class = RequestConnection
    asgi_websocket_class = SocketConnection
    request_class = EdgeRequest

    def __init__(
        self,
        name: str,
        *,
        limits: EdgeLimits,
        cors: CorsPolicy,
        render_error: RenderError,
        guards: Sequence[Guard] = (),
    ) -> None:
        super().__init__(__name__, static_folder=None, template_folder=None)
        self.service_name = name
        self.limits = limits
        self.cors = cors
        self.stopping = trio.Event()
        self._render_error = render_error
        self._guards = guards
        self._handlers: dict[str, Handler] = {}
        self._socket_handlers: dict[str, SocketHandler] = {}

    def add_route(self, method: str, path: str, handler: Handler) -> None:
        """Let `handler` answer `method` (GET: also HEAD) on `path`."""
        endpoint = f"{method} {path}"
        self.add_url_rule(path, endpoint, methods=[method])
        self._handlers[endpoint] = handler

    def add_socket_route(self, path: str, handler: SocketHandler) -> None:
        """Let `handler` serve WebSockets on `path`; the socket closes when it returns."""
        endpoint = f"WebSocket {path}"
        self.add_url_rule(path, endpoint, methods=["GET"], websocket=True)
        self._socket_handlers[endpoint] = handler

    async def answer(self, request: EdgeRequest) -> AnyAnswer:
        """The answer to `request`: what its handler returns, or what an error becomes."""
        try:
            preflight = self.cors.preflight(
                request.method,
                request.headers.get("Origin"),
                request.headers.get("Access-Control-Request-Method"),
                request.headers.get("Host"),
            )
            if preflight is not None:
                return preflight
            for guard in self._guards:
                guard(request)
            endpoint, arguments = self._match(request)
            if request.method == "OPTIONS":
                return self._options(request)
            return await self._handlers[endpoint](request, **arguments)
        except Exception as error:  # the request's boundary: logged if unknown, converted
            return self.error_answer(error, path=request.path)
        except BaseExceptionGroup as group:
            raise without_errors(group, f"request_failed path={request.path}") from None

    def socket_handler(
        self, websocket: BaseRequestWebsocket
    ) -> tuple[SocketHandler, dict[str, object]]:
        """The handler of a WebSocket that wants to be opened, and its path arguments.

        Raises:
            HTTPException: No such path.
            Exception: A guard refused it.
        """
        for guard in self._guards:
            guard(websocket)
        endpoint, arguments = self._match(websocket)
        return self._socket_handlers[endpoint], arguments

    def error_answer(self, error: Exception, *, path: str = "") -> Answer:
        """What a client gets for `error`; one that nobody expected is logged."""
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, HTTPException):
            return self._render_error(error.code or 500, error.description or error.name)
        status = status_of(error)
        if status is None:
            logger.error(
                "request_failed service=%s path=%s", self.service_name, path, exc_info=error
            )
            return self._render_error(500, "internal error; the balancer's log has the details")
        answer = self._render_error(status, str(error))
        if status != 503:
            return answer
        return Answer(
            status=answer.status,
            body=answer.body,
            content_type=answer.content_type,
            headers=(*answer.headers, ("Retry-After", str(RETRY_AFTER_S))),
        )

    def _match(self, request: BaseRequestWebsocket) -> tuple[str, dict[str, object]]:
        adapter = self.create_url_adapter(request)
        assert adapter is not None, "an adapter made of a request always exists"
        rule, arguments = adapter.match(return_rule=True)
        return str(rule.endpoint), dict(arguments)

    def _options(self, request: EdgeRequest) -> Answer:
        adapter = self.create_url_adapter(request)
        assert adapter is not None, "an adapter made of a request always exists"
        allowed = ", ".join(sorted(adapter.allowed_methods()))
        return Answer(status=204, content_type=PLAIN_TEXT, headers=(("Allow", allowed),))


def without_errors(group: BaseExceptionGroup[BaseException], event: str) -> BaseException:
    """Log the errors in `group` as `event`, and return the rest of it: the cancellations.

    A group that also holds something else, such as KeyboardInterrupt, is
    returned as it is.
    """
    errors, rest = group.split(Exception)
    if errors is not None:
        logger.error("%s", event, exc_info=errors)
    return group if rest is None else rest
