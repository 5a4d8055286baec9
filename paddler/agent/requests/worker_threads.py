"""Work on texts of any length, without holding up the tokens of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

__all__ = ["off_the_loop"]

LONG_TEXT_CHARS = 16_384
"""Texts from here on are rendered and parsed in a worker thread."""

ResultT = TypeVar("ResultT")


async def off_the_loop(n_chars: int, work: Callable[[], ResultT]) -> ResultT:
    """Do short work here and long work in a thread.

    The thread is waited for even when cancelled: it uses the open model.
    """
    if n_chars < LONG_TEXT_CHARS:
        return work()
    return await trio.to_thread.run_sync(work)
