"""Gives each frame of the balancer to whom it concerns. Nothing here waits."""

from __future__ import annotations

from paddler.agent.link.outbox import Outbox
from paddler.agent.questions import Questions
from paddler.agent.requests.running import hand_back
from paddler.agent.serving_state.reconciler import Reconciler
from paddler.concurrency.latest import Latest
from paddler.messages.link import ApplyState, Ask, CancelRequest, Embed, Generate

__all__ = ["FrameRouter"]


class FrameRouter:
    """The agent's `LinkHandler`; `outbox` is the open link's, if one is open."""

    def __init__(self, reconciler: Reconciler, questions: Questions, activity: Latest[int]) -> None:
        self._reconciler = reconciler
        self._questions = questions
        self._activity = activity
        self._refusal: str | None = None
        self.outbox: Outbox | None = None

    def refuse(self, reason: str) -> None:
        """Hand back every request from now on."""
        self._refusal = reason

    def link_opened(self, outbox: Outbox) -> None:
        """See `link.LinkHandler`."""
        self.outbox = outbox
        self._activity.set(0)

    def frame_received(
        self,
        frame: ApplyState | Generate | Embed | CancelRequest | Ask,
        outbox: Outbox,
    ) -> None:
        """See `link.LinkHandler`."""
        generation = self._reconciler.generation
        match frame:
            case ApplyState():
                self._reconciler.told(frame)
            case CancelRequest(request_id):
                if generation is not None:
                    generation.slots.cancel(request_id, outbox)
            case Ask():
                self._questions.asked(frame, outbox)
            case Generate() | Embed():
                if self._refusal is not None:
                    hand_back([frame], outbox, self._refusal)
                elif generation is None:
                    hand_back([frame], outbox, "no model is loaded")
                else:
                    generation.slots.accept(frame, outbox)

    def link_closed(self, outbox: Outbox) -> None:
        """See `link.LinkHandler`."""
        self.outbox = None
        if self._reconciler.generation is not None:
            self._reconciler.generation.slots.cancel_all_of(outbox)
