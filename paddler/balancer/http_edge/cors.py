"""Cross-origin rules: which pages of other origins a browser lets talk to a service.

Origins are compared exactly. Without any allowed origin no CORS header is sent.
"""

from __future__ import annotations

import dataclasses

from paddler.balancer.http_edge.streaming import PLAIN_TEXT, Answer, Headers

METHODS = "DELETE, GET, POST, PUT, OPTIONS"
REQUEST_HEADERS = "Accept, Authorization, Content-Type"
MAX_AGE_S = 3600


@dataclasses.dataclass(frozen=True)
class CorsPolicy:
    """`allowed_origins` as browsers send them: `https://app.example:8443`."""

    allowed_origins: frozenset[str] = frozenset()

    def preflight(
        self, method: str, origin: str | None, requested_method: str | None
    ) -> Answer | None:
        """The answer to a preflight request, or None if this is no preflight."""
        if method != "OPTIONS" or origin is None or requested_method is None:
            return None
        if origin not in self.allowed_origins:
            return Answer(status=403, body=b"this origin is not allowed", content_type=PLAIN_TEXT)
        return Answer(
            status=204,
            content_type=PLAIN_TEXT,
            headers=(
                ("Access-Control-Allow-Methods", METHODS),
                ("Access-Control-Allow-Headers", REQUEST_HEADERS),
                ("Access-Control-Max-Age", str(MAX_AGE_S)),
            ),
        )

    def headers(self, origin: str | None) -> Headers:
        """What every answer to a request of `origin` carries."""
        if not self.allowed_origins:
            return ()
        if origin is None or origin not in self.allowed_origins:
            return (("Vary", "Origin"),)
        return (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"))

    def allows_socket(self, origin: str | None, host: str | None) -> bool:
        """Whether a WebSocket may be opened: no browser, the same origin, or an allowed one.

        Browsers do not apply CORS to WebSockets, so the server has to.
        """
        if origin is None or origin in self.allowed_origins:
            return True
        return host is not None and origin.partition("://")[2] == host
