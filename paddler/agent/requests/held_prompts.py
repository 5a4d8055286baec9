"""Which prompts' KV state this agent holds, in the balancer's terms.

The engine knows requests by its own ids, the balancer names prompts by the
last hash of their chain. Between the two stands this table, which has an entry
for every request that runs or whose state the engine still holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

__all__ = ["HeldPrompts"]


class HeldPrompts:
    """The prompts that one engine holds.

    Args:
        kept_requests: Ids of requests that are over and whose state the engine kept.
    """

    def __init__(self, kept_requests: Callable[[], Collection[int]]) -> None:
        self._kept_requests = kept_requests
        self._tips: dict[int, int] = {}
        self._running: set[int] = set()

    def began(self, request_id: int, prefix_chain: Collection[int]) -> None:
        """A slot took the request."""
        if prefix_chain:
            self._tips[request_id] = list(prefix_chain)[-1]
            self._running.add(request_id)

    def ended(self, request_id: int) -> None:
        """The request is over, however it ended; the engine may have kept its state."""
        self._running.discard(request_id)

    def tips(self) -> list[int]:
        """The last hash of every prompt that is held, each once, sorted."""
        held = self._running | set(self._kept_requests())
        self._tips = {
            request_id: tip for request_id, tip in self._tips.items() if request_id in held
        }
        return sorted(set(self._tips.values()))
