"""The routes of the admin panel.

`/config.json` tells the page where the services are, as a port on the host the
browser used, or as the URL the operator gave for use behind a proxy.

The content security policy allows the page nothing but its own files and those
services; it is made per request, as the host is known only then.
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections.abc import Mapping

from werkzeug.exceptions import NotFound

from paddler.balancer.admin_panel.assets import PAGE, Asset
from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.streaming import PLAIN_TEXT, Answer, json_answer, text_answer
from paddler.messages.panel import PanelConfig, ServiceLocation
from paddler.version import paddler_version

_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")
_ANY_HOST = "http: https:"

_FIXED_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FIXED_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdminPanel:
    """The panel's files and the services it talks to."""

    assets: Mapping[str, Asset]
    management: ServiceLocation
    inference: ServiceLocation

    def make_app(self, *, edge_limits: EdgeLimits) -> EdgeApp:
        """The panel's routes, ready to be served."""
        app = EdgeApp(
            "admin_panel",
            limits=edge_limits,
            cors=CorsPolicy(),
            render_error=lambda code, description: text_answer(description, code),
        )
        app.add_route("GET", "/", self._page)
        app.add_route("GET", "/health", self._health)
        app.add_route("GET", "/config.json", self._config)
        app.add_route("GET", "/<path:name>", self._asset)
        return app

    async def _health(self, request: EdgeRequest) -> Answer:
        return text_answer("OK")

    async def _config(self, request: EdgeRequest) -> Answer:
        config = PanelConfig(
            version=paddler_version(), management=self.management, inference=self.inference
        )
        answer = json_answer(config)
        return dataclasses.replace(answer, headers=(("Cache-Control", "no-store"), *_FIXED_HEADERS))

    async def _page(self, request: EdgeRequest) -> Answer:
        return self._file(request, self.assets[PAGE])

    async def _asset(self, request: EdgeRequest, name: str) -> Answer:
        asset = self.assets.get(name)
        if asset is None:
            raise NotFound(f"the panel has no file {name!r}")
        return self._file(request, asset)

    def _file(self, request: EdgeRequest, asset: Asset) -> Answer:
        headers = [
            ("ETag", asset.etag),
            ("Cache-Control", _FOR_EVER if asset.is_hashed else "no-cache"),
            ("Content-Security-Policy", self._policy(request.headers.get("Host"))),
            *_FIXED_HEADERS,
        ]
        if request.headers.get("If-None-Match") == asset.etag:
            return Answer(status=304, content_type=PLAIN_TEXT, headers=headers)
        content = asset.content
        if asset.compressed is not None:
            headers.append(("Vary", "Accept-Encoding"))
            if "gzip" in request.headers.get("Accept-Encoding", ""):
                headers.append(("Content-Encoding", "gzip"))
                content = asset.compressed
        return Answer(body=content, content_type=asset.content_type, headers=headers)

    def _policy(self, host_header: str | None) -> str:
        try:
            host = urllib.parse.urlsplit(f"//{host_header or ''}").hostname
        except ValueError:
            host = None
        services = f"{_source_of(self.management, host)} {_source_of(self.inference, host)}"
        return f"{_FIXED_POLICY}; connect-src 'self' {services}"


def _source_of(service: ServiceLocation, panel_host: str | None) -> str:
    """The service in a content security policy."""
    if service.url is not None:
        found = urllib.parse.urlsplit(service.url)
        return f"{found.scheme}://{found.netloc}" if found.netloc else "'self'"
    if panel_host is None or not _HOST_NAME.fullmatch(panel_host):
        # The policy's grammar knows no IPv6 addresses.
        return _ANY_HOST
    return f"http://{panel_host}:{service.port} https://{panel_host}:{service.port}"
