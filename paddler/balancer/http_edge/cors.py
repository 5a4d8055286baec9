"""Cross-origin rules: which pages of other origins a browser lets talk to a service.

Origins are compared exactly. Without any allowed origin no CORS header is sent.

The admin panel's origin cannot be listed, as it depends on the name by which the
browser knows this machine: `sibling_port` allows the pages of that port of the
same host that the request was sent to.
"""

from __future__ import annotations

import dataclasses
import urllib.parse

from paddler.balancer.http_edge.streaming import PLAIN_TEXT, Answer, Headers

METHODS = "DELETE, GET, POST, PUT, OPTIONS"
REQUEST_HEADERS = "Accept, Authorization, Content-Type"
MAX_AGE_S = 3600


@dataclasses.dataclass(frozen=True)
class CorsPolicy:
    """`allowed_origins` as browsers send them: `https://app.example:8443`."""

    allowed_origins: frozenset[str] = frozenset()
    sibling_port: int | None = None
    request_headers: str = REQUEST_HEADERS

    def preflight(
        self, method: str, origin: str | None, requested_method: str | None, host: str | None = None
    ) -> Answer | None:
        """The answer to a preflight request, or None if this is no preflight."""
        if method != "OPTIONS" or origin is None or requested_method is None:
            return None
        if not self._allows(origin, host):
            return Answer(status=403, body=b"this origin is not allowed", content_type=PLAIN_TEXT)
        return Answer(
            status=204,
            content_type=PLAIN_TEXT,
            headers=(
                ("Access-Control-Allow-Methods", METHODS),
                ("Access-Control-Allow-Headers", self.request_headers),
                ("Access-Control-Max-Age", str(MAX_AGE_S)),
            ),
        )

    def headers(self, origin: str | None, host: str | None = None) -> Headers:
        """What every answer to a request of `origin`, sent to `host`, carries."""
        if not self.allowed_origins and self.sibling_port is None:
            return ()
        if origin is None or not self._allows(origin, host):
            return (("Vary", "Origin"),)
        return (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"))

    def allows_socket(self, origin: str | None, host: str | None) -> bool:
        """Whether a WebSocket may be opened: no browser, the same origin, or an allowed one.

        Browsers do not apply CORS to WebSockets, so the server has to.
        """
        if origin is None or self._allows(origin, host):
            return True
        return host is not None and origin.partition("://")[2] == host

    def _allows(self, origin: str, host: str | None) -> bool:
        if origin in self.allowed_origins:
            return True
        return self.sibling_port is not None and _is_sibling(origin, host, self.sibling_port)


def _is_sibling(origin: str, host: str | None, port: int) -> bool:
    """Whether `origin` is the given port of the host in a `Host` header."""
    try:
        page = urllib.parse.urlsplit(origin)
        here = urllib.parse.urlsplit(f"//{host or ''}")
        page_port = page.port or {"http": 80, "https": 443}.get(page.scheme)
    except ValueError:
        return False
    return page_port == port and here.hostname is not None and page.hostname == here.hostname
