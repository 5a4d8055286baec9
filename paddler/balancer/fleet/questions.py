"""Questions that one link carries, and who waits for their answers."""

from __future__ import annotations

import trio

from paddler.messages.link import Answer


class _Pending:
    """A question that was asked; `answer` stays None where there is none."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.answer: Answer | None = None


class Questions:
    """The questions under way, by request id."""

    def __init__(self) -> None:
        self._pending: dict[int, _Pending] = {}

    async def answer_to(self, request_id: int) -> Answer | None:
        """Wait for an answer; None if the agent could not find it, or is gone.

        Cancelled, the answer is dropped when it comes.
        """
        pending = self._pending[request_id] = _Pending()
        try:
            await pending.ended.wait()
        finally:
            self._pending.pop(request_id, None)
        return pending.answer

    def answered(self, request_id: int, answer: Answer | None) -> None:
        """Take an answer; one that nobody waits for is dropped."""
        pending = self._pending.get(request_id)
        if pending is not None:
            pending.answer = answer
            pending.ended.set()

    def give_up(self) -> None:
        """End all questions without an answer: the link is over."""
        for pending in self._pending.values():
            pending.ended.set()
