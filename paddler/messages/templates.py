"""Chat templates that are tried before anybody uses them."""

from __future__ import annotations

import msgspec


class TemplateCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What trying a chat template told.

    `error` is why it cannot be used: it does not compile, or takes too much
    time or memory. `warning` is why it refuses the simplest conversation, one
    question of a user; `preview` is that conversation as it writes it, cut
    where it is long.
    """

    error: str | None = None
    warning: str | None = None
    preview: str | None = None


class TemplateSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chat template that somebody wants tried."""

    content: str
