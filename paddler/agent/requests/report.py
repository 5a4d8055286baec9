"""What a generation tells: the engine's events in the wire's terms, tool calls in between.

Belongs to the request's own task, and knows nothing of the engine.
"""

from __future__ import annotations

from collections.abc import Callable

from paddler.agent.backend.protocol import RenderedConversation
from paddler.agent.requests.running import Outlet
from paddler.agent.requests.translation import done_event, started_event, token_event
from paddler.agent.requests.worker_threads import off_the_loop
from paddler.agent.tool_calls.stream import ToolCallStream
from paddler.agent.tool_calls.validation import tool_call_event
from paddler.engine.requests import Ended, Started, TokenClass, Tokens
from paddler.messages.generation import ConversationPrompt, GenerationOrder, GenerationStarted

__all__ = ["GenerationReport"]


class GenerationReport:
    """Tells an outlet of one generation, from its start to its end.

    Args:
        order: Says which tool calls are wanted, and when.
        rendered: Knows their format; None for prompts that are no conversation.
        outlet: Where everything goes.
        n_prompt_tokens: Of text and images.
        clock: In seconds; asked in threads, too.
    """

    def __init__(
        self,
        order: GenerationOrder,
        rendered: RenderedConversation | None,
        outlet: Outlet,
        *,
        n_prompt_tokens: int,
        clock: Callable[[], float],
    ) -> None:
        self._order = order
        self._rendered = rendered
        self._outlet = outlet
        self._n_prompt_tokens = n_prompt_tokens
        self._started = GenerationStarted(-1, n_prompt_tokens, 0)
        self._calls: ToolCallStream | None = None
        if order.parse_tool_calls and rendered is not None:
            self._calls = ToolCallStream(rendered, clock=clock)

    def begin(self, event: Started) -> None:
        """A slot took the request."""
        self._started = started_event(event, self._n_prompt_tokens)
        self._outlet.post(self._started)

    def add(self, event: Tokens) -> None:
        """Tokens were generated, or replayed."""
        if self._calls is not None:
            self._calls.add(event)
        if event.token_ids or event.text:
            self._outlet.post(token_event(event))

    async def tell_tool_calls(self) -> None:
        """Tell what the calls have grown by, if that is wanted and it is time to look."""
        calls = self._calls
        if calls is None or not self._order.stream_tool_calls or self._outlet.ended:
            return
        if calls.is_due:
            for delta in await off_the_loop(len(calls.output), calls.deltas):
                self._outlet.post(delta)

    async def end(self, event: Ended, *, n_image_tokens: int) -> None:
        """The generation ended: its calls, and the bill."""
        await self._report_tool_calls(event)
        self._outlet.post(done_event(self._started, event, n_image_tokens=n_image_tokens))

    async def _report_tool_calls(self, event: Ended) -> None:
        order, calls, rendered = self._order, self._calls, self._rendered
        prompt = order.prompt
        if calls is None or rendered is None or not isinstance(prompt, ConversationPrompt):
            return
        output = calls.output
        outcome = await off_the_loop(
            len(output),
            lambda: tool_call_event(
                rendered,
                output,
                prompt.tools,
                n_tool_call_tokens=event.n_generated.get(TokenClass.TOOL_CALL, 0),
                validate=order.validate_tool_calls,
            ),
        )
        if outcome is not None:
            self._outlet.post(outcome)
