"""What the admin panel is told before it can ask anything."""

from __future__ import annotations

import msgspec


class ServiceLocation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a browser finds a service.

    `url` is what the operator said (absolute, or a path on the panel's own
    host); without it, the service is at `port` of the host that the browser
    used for the panel.
    """

    port: int
    url: str | None = None


class PanelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The panel's `config.json`; `version` is Paddler's."""

    version: str
    management: ServiceLocation
    inference: ServiceLocation
