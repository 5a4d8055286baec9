"""Accepting, counting and stopping the connections of one service.

The server's nursery holds its connections; a second one inside it accepts.
"""

from __future__ import annotations

import functools
import logging

import trio
from hypercorn.trio.worker_context import WorkerContext

from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.serving.connection import Connection
from paddler.balancer.http_edge.serving.listeners import Listeners
from paddler.balancer.http_edge.serving.protocol import hypercorn_config

logger = logging.getLogger(__name__)

_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Retry-After: 1\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n"
    b"Connection: close\r\n\r\ntoo many connections\n"
)
_REFUSAL_TIMEOUT_S = 1.0


class EdgeServer:
    """Serves `app` on `listeners`.

    Args:
        app: The service.
        listeners: Closed by `run`.
    """

    def __init__(self, app: EdgeApp, listeners: Listeners) -> None:
        self._app = app
        self._listeners = listeners
        self._limits = app.limits
        self._config = hypercorn_config(app.limits)
        self._context = WorkerContext(None)
        self._connections: set[Connection] = set()

    @property
    def n_connections(self) -> int:
        """Connections open now."""
        return len(self._connections)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `app.stopping` is set and the connections have ended.

        Those that have not after `stop_timeout_s` are cut.
        """
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    functools.partial(
                        trio.serve_listeners,
                        self._serve,
                        list(self._listeners.sockets),
                        handler_nursery=connections,
                    )
                )
                task_status.started()
                await self._app.stopping.wait()
                accepting.cancel_scope.cancel()
            await self._context.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + self._limits.stop_timeout_s
            for connection in list(self._connections):
                connection.begin_stop()

    async def _serve(self, stream: trio.SocketStream) -> None:
        if len(self._connections) >= self._limits.max_connections:
            await self._refuse(stream)
            return
        connection = Connection(
            stream,
            app=self._app,
            config=self._config,
            context=self._context,
            limits=self._limits,
        )
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    async def _refuse(self, stream: trio.SocketStream) -> None:
        logger.warning(
            "connection_refused service=%s reason=too_many_connections limit=%d",
            self._app.service_name,
            self._limits.max_connections,
        )
        async with stream:
            with trio.move_on_after(_REFUSAL_TIMEOUT_S):
                try:
                    await stream.send_all(_REFUSAL)
                    await stream.send_eof()
                    while await stream.receive_some():
                        pass
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass
