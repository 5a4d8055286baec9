"""A state database that forgets."""

from __future__ import annotations

from paddler.messages.state import DesiredState


class MemoryStateDatabase:
    """Keeps the state as long as the process lives."""

    def __init__(self) -> None:
        self._state = DesiredState()

    async def load(self) -> DesiredState:
        """The state saved last, or the defaults."""
        return self._state

    async def save(self, state: DesiredState) -> None:
        """Keep `state`."""
        self._state = state
