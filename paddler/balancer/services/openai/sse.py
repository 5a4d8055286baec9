"""Server-sent events, as OpenAI's streams write them."""

from __future__ import annotations

from paddler.balancer.http_edge.streaming import Headers

DONE = b"data: [DONE]\n\n"

STREAM_HEADERS: Headers = (
    ("Cache-Control", "no-cache"),
    # Proxies that gather a response would undo the streaming.
    ("X-Accel-Buffering", "no"),
)


def data_event(encoded: bytes) -> bytes:
    """An event without a name; `encoded` is JSON without line ends."""
    return b"data: %b\n\n" % encoded


def named_event(name: str, encoded: bytes) -> bytes:
    """An event with a name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encoded)
