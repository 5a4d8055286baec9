"""The generations of one request: its choices, and their items in one place.

Each choice is a task in the request's nursery and holds a slot lease of its
own. Choices of one prompt start once the first of them has its prompt
evaluated, so that the others find it cached. A choice that finds the buffer
full, or no slot in time, while others of its request hold slots waits for one
of those to end: a request for eight choices is served by a fleet with one slot.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import trio
from typing_extensions import override

from paddler.balancer.requests.errors import (
    BufferTimeout,
    DispatchError,
    GenerationRefusal,
    ShuttingDown,
)
from paddler.balancer.requests.generations import Generations
from paddler.balancer.requests.items import GenerationError, GenerationItem, GenerationStart
from paddler.balancer.services.openai.errors import failure
from paddler.concurrency.mailbox import Mailbox, MailboxClosed, MailboxFull
from paddler.messages.generation import (
    GenerationFailed,
    GenerationOrder,
    GenerationStarted,
    ImageTooLarge,
)

ChoiceItems = tuple[int, Sequence[GenerationItem]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerationRunner:
    """What running generations takes; `capacity` is the most items a client may be behind."""

    generations: Generations
    capacity: int


class Choices:
    """Runs one generation per order.

    Args:
        runner: Runs generations.
        orders: One per choice.
        nursery: The request's own.
        request_id: For the log.
        share_prompt: All orders have the same prompt.
    """

    def __init__(
        self,
        runner: GenerationRunner,
        orders: Sequence[GenerationOrder],
        nursery: trio.Nursery,
        *,
        request_id: str,
        share_prompt: bool,
    ) -> None:
        self._runner = runner
        self._orders = orders
        self._nursery = nursery
        self._request_id = request_id
        self._share_prompt = share_prompt
        self._is_single = len(orders) == 1
        self._single: Mailbox[GenerationItem] = Mailbox(runner.capacity)
        # Room for one more item of each, which says how it ended.
        self._shared: Mailbox[tuple[int, GenerationItem]] = Mailbox(runner.capacity + len(orders))
        self._first_token = trio.Event()
        self._next_end = trio.Event()
        self._leases: set[_Lease] = set()
        self._n_left = len(orders)
        self._taken: list[ChoiceItems] = []

    async def begin(self) -> GenerationStart:
        """Start, and wait for the first item of the first choice.

        Raises:
            OpenAiError: The first choice failed before it had anything to send.
            DispatchError, GenerationRefusal: It got no slot.
        """
        outbox = self._single if self._is_single else self._outbox(0)
        run = functools.partial(self._runner.generations.run, request_id=self._request_id)
        if self._is_single:
            start: GenerationStart = await self._nursery.start(run, self._orders[0], outbox)
        else:
            start = await self._nursery.start(self._run_first, outbox)
            self._nursery.start_soon(self._start_others)
        try:
            self._taken = await self._take()
        except MailboxClosed:
            raise failure(GenerationError(502, "the generation ended without a word")) from None
        for _, items in self._taken:
            for item in items:
                if isinstance(item, GenerationError | GenerationFailed | ImageTooLarge):
                    raise failure(item)
        return start

    async def take(self) -> list[ChoiceItems]:
        """Wait for items, and take all there are, by choice; none once all choices have ended."""
        if self._taken:
            taken, self._taken = self._taken, []
            return taken
        try:
            return await self._take()
        except MailboxClosed:
            return []

    async def _take(self) -> list[ChoiceItems]:
        if self._is_single:
            return [(0, await self._single.take())]
        by_choice: dict[int, list[GenerationItem]] = {}
        for index, item in await self._shared.take():
            by_choice.setdefault(index, []).append(item)
        return list(by_choice.items())

    def _outbox(self, index: int) -> _ChoiceOutbox:
        return _ChoiceOutbox(index, self._shared, self._runner.capacity, self._first_token)

    async def _run_first(
        self,
        outbox: Mailbox[GenerationItem],
        *,
        task_status: trio.TaskStatus[GenerationStart] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        lease = _Lease(self._leases, task_status)
        try:
            await self._runner.generations.run(
                self._orders[0], outbox, request_id=self._request_id, task_status=lease
            )
        finally:
            lease.end()
            self._note_end()

    async def _start_others(self) -> None:
        if self._share_prompt:
            await self._first_token.wait()
        for index in range(1, len(self._orders)):
            self._nursery.start_soon(self._run_other, index)

    async def _run_other(self, index: int) -> None:
        request_id = f"{self._request_id}.{index}"
        while True:
            next_end = self._next_end
            lease = _Lease(self._leases, trio.TASK_STATUS_IGNORED)
            try:
                await self._runner.generations.run(
                    self._orders[index],
                    self._outbox(index),
                    request_id=request_id,
                    task_status=lease,
                )
                break
            except (DispatchError, GenerationRefusal) as error:
                is_hopeless = isinstance(error, ShuttingDown | GenerationRefusal)
                if is_hopeless or not self._leases:
                    self._outbox(index).close_with(_no_slot(error))
                    break
            finally:
                lease.end()
            await next_end.wait()
        self._note_end()

    def _note_end(self) -> None:
        self._n_left -= 1
        self._first_token.set()
        self._next_end.set()
        self._next_end = trio.Event()
        if not self._n_left:
            self._shared.close()


class _Lease:
    """A choice's slot, from when it is granted; takes the place of a task status."""

    def __init__(self, leases: set[_Lease], task_status: trio.TaskStatus[GenerationStart]) -> None:
        self._leases = leases
        self._task_status = task_status

    def started(self, value: GenerationStart | None = None) -> None:
        """The slot is granted."""
        assert value is not None, "a generation says how it started"
        self._leases.add(self)
        self._task_status.started(value)

    def end(self) -> None:
        """The slot is free again, or was never granted."""
        self._leases.discard(self)


class _ChoiceOutbox(Mailbox[GenerationItem]):
    """The outbox of one choice; its items go to the mailbox that all of them share."""

    def __init__(
        self,
        index: int,
        shared: Mailbox[tuple[int, GenerationItem]],
        capacity: int,
        first_token: trio.Event,
    ) -> None:
        super().__init__(capacity)
        self._index = index
        self._shared = shared
        self._shared_capacity = capacity
        self._first_token = first_token
        self._is_over = False

    @override
    def post(self, item: GenerationItem) -> None:
        if self._is_over:
            return
        if len(self._shared) >= self._shared_capacity:
            message = f"{self._shared_capacity} items wait to be read"
            raise MailboxFull(message)
        self._pass_on(item)

    @override
    def close(self) -> None:
        self._is_over = True

    @override
    def close_with(self, item: GenerationItem) -> None:
        if not self._is_over:
            self._is_over = True
            self._pass_on(item)

    def _pass_on(self, item: GenerationItem) -> None:
        if not isinstance(item, GenerationStarted):
            self._first_token.set()
        self._shared.post((self._index, item))


def _no_slot(error: DispatchError | GenerationRefusal) -> GenerationError:
    if isinstance(error, GenerationRefusal):
        return GenerationError(501, str(error))
    return GenerationError(504 if isinstance(error, BufferTimeout) else 503, str(error))
