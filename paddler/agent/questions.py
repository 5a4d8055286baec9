"""Questions of the balancer that are no requests: answered one after another.

A task of the agent's root nursery answers. What waits is bounded, and past the
bound a question is left without an answer, not delayed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

from paddler.agent.link.outbox import Outbox
from paddler.concurrency.mailbox import Mailbox, MailboxFull
from paddler.messages.link import Answer, Answered, Ask, Question

__all__ = ["Questions"]

logger = logging.getLogger(__name__)

MAX_WAITING = 8


class Questions:
    """Answers `Ask` frames.

    Args:
        find_answer: The answer to one question.
    """

    def __init__(self, find_answer: Callable[[Question], Awaitable[Answer]]) -> None:
        self._find_answer = find_answer
        self._asked: Mailbox[tuple[Ask, Outbox]] = Mailbox(MAX_WAITING)

    def asked(self, frame: Ask, outbox: Outbox) -> None:
        """Take a question; the answer goes to `outbox`."""
        try:
            self._asked.post((frame, outbox))
        except MailboxFull:
            outbox.post_frame(Answered(frame.request_id, None))

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Answer what is asked, until cancelled."""
        task_status.started()
        while True:
            for frame, outbox in await self._asked.take():
                try:
                    answer = await self._find_answer(frame.question)
                except Exception:
                    # A machine that cannot start a process still serves its model.
                    logger.exception("question_failed request=%d", frame.request_id)
                    outbox.post_frame(Answered(frame.request_id, None))
                else:
                    outbox.post_frame(Answered(frame.request_id, answer))
