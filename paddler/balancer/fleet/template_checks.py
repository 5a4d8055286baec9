"""Chat templates that an agent tries for somebody who writes one."""

from __future__ import annotations

import trio

from paddler.messages.templates import TemplateCheck


class _Pending:
    """A check that is under way; `check` is None until then, and where there is none."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.check: TemplateCheck | None = None


class TemplateChecks:
    """The checks one link carries, by request id."""

    def __init__(self) -> None:
        self._pending: dict[int, _Pending] = {}

    async def result(self, request_id: int) -> TemplateCheck | None:
        """Wait for the answer; None if the agent could not try it, or is gone.

        Cancelled, the answer is dropped when it comes.
        """
        pending = self._pending[request_id] = _Pending()
        try:
            await pending.ended.wait()
        finally:
            self._pending.pop(request_id, None)
        return pending.check

    def answered(self, request_id: int, check: TemplateCheck | None) -> None:
        """The agent's answer came."""
        pending = self._pending.get(request_id)
        if pending is not None:
            pending.check = check
            pending.ended.set()

    def give_up(self) -> None:
        """The link is over: nothing more is answered."""
        for pending in self._pending.values():
            pending.ended.set()
