"""Which HTTP status an error has: the one place that says so.

A test demands that every error class a request can meet is listed.
"""

from __future__ import annotations

from collections.abc import Mapping

from paddler.balancer.http_edge.errors import (
    BodyTooLarge,
    BodyTooSlow,
    OriginRefused,
)
from paddler.balancer.requests.errors import (
    BufferFull,
    BufferTimeout,
    EmbeddingsNotEnabled,
    GenerationNotSupported,
    NoAgents,
    ShuttingDown,
)
from paddler.balancer.state_database.errors import (
    BadDatabaseUrl,
    DatabaseUnparsable,
    DatabaseUnusable,
)
from paddler.messages.decoding import MalformedMessage

STATUSES: Mapping[type[Exception], int] = {
    MalformedMessage: 400,
    OriginRefused: 403,
    BodyTooSlow: 408,
    BodyTooLarge: 413,
    DatabaseUnusable: 500,
    DatabaseUnparsable: 500,
    BadDatabaseUrl: 500,
    GenerationNotSupported: 501,
    EmbeddingsNotEnabled: 501,
    BufferFull: 503,
    NoAgents: 503,
    ShuttingDown: 503,
    BufferTimeout: 504,
}
"""Status by class; a subclass has its base's."""


def status_of(error: Exception) -> int | None:
    """The status of `error`, or None if it is not one that a request may meet."""
    for error_class in type(error).__mro__:
        if error_class in STATUSES:
            return STATUSES[error_class]
    return None
