"""Chat templates that somebody writes, tried before they are applied.

One after another, in a task of the agent's root nursery: what waits is bounded,
and past the bound a check is refused, not delayed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from paddler.agent.link.outbox import Outbox
from paddler.concurrency.mailbox import Mailbox, MailboxFull
from paddler.messages.link import CheckTemplate, TemplateChecked
from paddler.messages.templates import TemplateCheck

__all__ = ["TemplateChecks"]

logger = logging.getLogger(__name__)

MAX_WAITING = 8


class TemplateChecks:
    """Answers `CheckTemplate` frames.

    Args:
        check: Tries one template; see `EngineBackend.try_template`.
    """

    def __init__(self, check: Callable[[str], Awaitable[TemplateCheck]]) -> None:
        self._check = check
        self._asked: Mailbox[tuple[CheckTemplate, Outbox]] = Mailbox(MAX_WAITING)

    def asked(self, frame: CheckTemplate, outbox: Outbox) -> None:
        """Take a template to try; the answer goes to `outbox`."""
        try:
            self._asked.post((frame, outbox))
        except MailboxFull:
            outbox.post_frame(TemplateChecked(frame.request_id, None))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Try what is asked for, until cancelled."""
        task_status.started()
        while True:
            for frame, outbox in await self._asked.take():
                try:
                    check = await self._check(frame.source)
                except Exception:
                    # A machine that cannot start a process still serves its model.
                    logger.exception("template_check_failed request=%d", frame.request_id)
                    outbox.post_frame(TemplateChecked(frame.request_id, None))
                else:
                    outbox.post_frame(TemplateChecked(frame.request_id, check))
