"""The terms in which services and the edge meet: requests, handlers, and their host."""

from __future__ import annotations

import typing
from collections.abc import Awaitable, Callable

import trio
from quart_trio.wrappers import TrioRequest

from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.streaming import Answer, AnyAnswer

if typing.TYPE_CHECKING:
    from quart.wrappers.base import BaseRequestWebsocket

__all__ = ["EdgeHost", "EdgeRequest", "Guard", "Handler", "RenderError", "SocketHandler"]

Handler = Callable[..., Awaitable[AnyAnswer]]
SocketHandler = Callable[..., Awaitable[None]]
RenderError = Callable[[int, str], Answer]
Guard = Callable[["BaseRequestWebsocket"], None]


class EdgeRequest(TrioRequest):
    """A request as handlers get it.

    Attributes:
        nursery: The request's own; cancelled when the client leaves and when
            the answer is complete.
        content: The whole body.
    """

    nursery: trio.Nursery
    content: bytes


class EdgeHost(typing.Protocol):
    """A service as its connections see it: its limits, and who handles a request.

    `stopping` is set when the service stops.
    """

    limits: EdgeLimits
    cors: CorsPolicy
    stopping: trio.Event

    async def answer(self, request: EdgeRequest) -> AnyAnswer:
        """The answer to `request`; errors are answers, too."""

    def socket_handler(
        self, websocket: BaseRequestWebsocket
    ) -> tuple[SocketHandler, dict[str, object]]:
        """The handler of a WebSocket that wants to be opened, and its path arguments.

        Raises:
            Exception: It is refused; `error_answer` says how.
        """

    def error_answer(self, error: Exception, *, path: str = "") -> Answer:
        """What a client gets for `error`; one that nobody expected is logged."""
