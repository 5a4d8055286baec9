"""Waiting times between attempts: exponential, capped, jittered."""

from __future__ import annotations

import random


class Backoff:
    """A growing waiting time; `reset` after success.

    Args:
        first_s: Longest wait after the first failure, in seconds.
        longest_s: Longest wait of all, in seconds.
        random_source: Where jitter comes from.
    """

    def __init__(self, *, first_s: float, longest_s: float, random_source: random.Random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._random = random_source
        self._failures = 0

    def next_s(self) -> float:
        """The wait before the next attempt, in seconds: half to all of the limit."""
        limit_s = min(self._longest_s, self._first_s * 2.0 ** min(self._failures, 60))
        self._failures += 1
        return limit_s * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        """Start over: the last attempt succeeded."""
        self._failures = 0
