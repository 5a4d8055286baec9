"""Generations: one request each, resumed elsewhere when its agent is lost.

`Generations.run` is a task in the nursery of the connection that asked. A
prompt whose prefill advances, as the agent's load reports tell, is not silent.
"""

from __future__ import annotations

import trio

from paddler.balancer.dispatch.errors import DispatchError
from paddler.balancer.dispatch.pool import SlotPool
from paddler.balancer.dispatch.requests import RequestKind
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.requests.errors import GenerationNotSupported
from paddler.balancer.requests.generation_progress import GenerationProgress
from paddler.balancer.requests.items import GenerationItem, GenerationStart
from paddler.balancer.requests.observations import Observe
from paddler.balancer.requests.takeover import Takeover
from paddler.concurrency.mailbox import Mailbox
from paddler.messages.generation import GenerationOrder


class Generations:
    """Runs generations.

    Args:
        takeover: Runs each over agents.
        fleet: Says whether anybody generates.
        pool: Told what becomes of leases.
        observe: Told of first tokens and gaps between tokens.
    """

    def __init__(
        self, *, takeover: Takeover, fleet: Fleet, pool: SlotPool, observe: Observe
    ) -> None:
        self._takeover = takeover
        self._fleet = fleet
        self._pool = pool
        self._observe = observe

    async def run(
        self,
        order: GenerationOrder,
        outbox: Mailbox[GenerationItem],
        *,
        request_id: str = "-",
        task_status: trio.TaskStatus[GenerationStart] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run `order`, with its items going to `outbox`, which is closed at the end.

        `request_id` is for the log. Reports `started` once a slot is leased;
        from then on failures are items. Cancelling it cancels the request at
        its agent and frees the slot at once.

        Raises:
            GenerationNotSupported: The model serves embeddings only.
            BufferFull, BufferTimeout, ShuttingDown: No slot; before `started` only.
        """
        progress = GenerationProgress(
            order,
            outbox,
            request_id,
            pool=self._pool,
            observe=self._observe,
            on_start=task_status.started,
        )
        try:
            self._refuse_if_embeddings_only()
            await self._takeover.run(progress)
        except DispatchError:
            self._refuse_if_embeddings_only()
            raise
        finally:
            progress.close()

    def _refuse_if_embeddings_only(self) -> None:
        kinds = [record.serves for record in self._fleet.records]
        if kinds and all(served == {RequestKind.EMBEDDING} for served in kinds):
            raise GenerationNotSupported
