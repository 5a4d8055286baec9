"""A request's life: its body, its nursery, its answer, its end.

Each request has a nursery of its own. The handler runs in it, and starts in it
whatever works for the request (`EdgeRequest.nursery`): when the client leaves
– while its request is buffered, before the first byte or in the middle of a
stream – the nursery is cancelled, so that what its tasks hold is released at
once and not when a garbage collector finds it.

The body is read before the handler runs, within the limits. Quart's own
response timeout does not apply: nothing here asks for it.
"""

from __future__ import annotations

import typing

import trio
from quart_trio.asgi import TrioASGIHTTPConnection
from typing_extensions import override

from paddler.balancer.http_edge.errors import BodyTooLarge, BodyTooSlow, EdgeError
from paddler.balancer.http_edge.handlers import EdgeHost, EdgeRequest
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.streaming import AsgiReceive, AsgiSend, send_answer


class ClientGone(Exception):
    """The client left before its request was complete."""


class RequestConnection(TrioASGIHTTPConnection):
    """Quart's `asgi_http_class`: runs one request."""

    @override
    async def __call__(self, receive: AsgiReceive, send: AsgiSend) -> None:
        host = typing.cast("EdgeHost", self.app)
        request = typing.cast("EdgeRequest", self._create_request_from_scope(send))
        cors_headers = host.cors.headers(request.headers.get("Origin"), request.headers.get("Host"))
        try:
            request.content = await read_body(receive, request.content_length, host.limits)
        except ClientGone:
            return
        except EdgeError as error:
            answer = host.error_answer(error)
            await send_answer(send, answer, more_headers=cors_headers, last=True)
            return
        async with trio.open_nursery() as nursery:
            request.nursery = nursery
            nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
            await send_answer(send, await host.answer(request), more_headers=cors_headers)
            nursery.cancel_scope.cancel()


async def read_body(receive: AsgiReceive, content_length: int | None, limits: EdgeLimits) -> bytes:
    """Read a request's whole body.

    Raises:
        BodyTooLarge: Announced or turned out to be above the limit.
        BodyTooSlow: Not complete in time.
        ClientGone: The client left.
    """
    if content_length is not None and content_length > limits.max_body_bytes:
        raise BodyTooLarge(limits.max_body_bytes)
    body = bytearray()
    with trio.move_on_after(limits.body_read_timeout_s):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += typing.cast("bytes", message.get("body", b""))
            if len(body) > limits.max_body_bytes:
                raise BodyTooLarge(limits.max_body_bytes)
            if not message.get("more_body", False):
                return bytes(body)
    raise BodyTooSlow(limits.body_read_timeout_s)


async def _cancel_when_gone(receive: AsgiReceive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
