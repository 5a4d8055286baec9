"""Waiting for something that tells nobody when it happens."""

from __future__ import annotations

from collections.abc import Callable

import trio


async def until(condition: Callable[[], object]) -> None:
    """Look again and again; the caller bounds the time."""
    while not condition():  # noqa: ASYNC110  there is no event to wait for
        await trio.sleep(0.005)
