"""The output of a response: its items, and the typed events of its stream.

Every event has a sequence number. An item is announced (`output_item.added`),
filled and finished (`output_item.done`). A text is finished before the next item
begins, a tool call before the next call: its last piece may follow a text that
came after it. The whole response is in the first and in the last event.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import msgspec
from typing_extensions import override

from paddler.balancer.requests.items import GenerationItem
from paddler.balancer.services.openai.errors import OpenAiError
from paddler.balancer.services.openai.generating import AnswerWriter
from paddler.balancer.services.openai.logprobs import content_logprobs
from paddler.balancer.services.openai.outcome import Outcome, WrittenCall
from paddler.balancer.services.openai.sse import named_event
from paddler.balancer.services.openai.usage import UsageTotal
from paddler.messages.generation import TokenLogprobs

_encode = msgspec.json.Encoder().encode

Json = dict[str, object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResponseFacts:
    """What is known of a response before it is generated.

    `echoed` are the request's parameters that a response repeats.
    """

    response_id: str
    created: int
    model: str
    echoed: Mapping[str, object]
    with_logprobs: bool


class ResponseWriter(AnswerWriter):
    """Writes a response.

    Args:
        facts: What is known beforehand.
        make_suffix: Makes the random part of an item's id.
        now: Seconds since 1970.
    """

    def __init__(
        self, facts: ResponseFacts, make_suffix: Callable[[], str], now: Callable[[], int]
    ) -> None:
        self._facts = facts
        self._make_suffix = make_suffix
        self._now = now
        self._outcome = Outcome()
        self._events = _Events()
        self._items: list[Json | None] = []
        self._text: _TextItem | None = None
        self._call: _CallItem | None = None
        self._completed: int | None = None

    @override
    def begin(self) -> bytes:
        response = self._response("in_progress")
        self._events.add("response.created", response=response)
        self._events.add("response.in_progress", response=response)
        return self._events.take()

    @override
    def write(self, choice: int, items: Sequence[GenerationItem]) -> bytes:
        added = self._outcome.add(items)
        if added.reasoning:
            self._text_item(_ReasoningItem).extend("".join(added.reasoning), ())
        logprobs = added.logprobs if self._facts.with_logprobs else []
        if added.content or logprobs:
            self._text_item(_MessageItem).extend("".join(added.content), logprobs)
        for position, arguments in added.calls.items():
            self._call_item(position).extend(arguments)
        if self._outcome.is_over:
            if not self._items:
                self._text_item(_MessageItem)
            self._close_all("incomplete" if self._outcome.is_cut else "completed")
            self._completed = self._now()
        return self._events.take()

    @override
    def end(self) -> bytes:
        status = self._status
        self._events.add(f"response.{status}", response=self._response(status))
        return self._events.take()

    @override
    def break_off(self, error: OpenAiError) -> bytes:
        self._close_all("incomplete")
        code = "invalid_prompt" if error.status == 400 else "server_error"
        failed = self._response("failed")
        failed["error"] = {"code": code, "message": error.message}
        self._events.add("response.failed", response=failed)
        return self._events.take()

    @override
    def whole(self) -> bytes:
        return _encode(self._response(self._status))

    @property
    def _status(self) -> str:
        return "incomplete" if self._outcome.is_cut else "completed"

    def _text_item(self, kind: type[_TextItem]) -> _TextItem:
        """The open item of this kind; another one is finished first."""
        if not isinstance(self._text, kind):
            self._close_text("completed")
            item_id = f"{kind.id_prefix}_{self._make_suffix()}"
            self._text = kind(self._events, item_id, self._next_index())
        return self._text

    def _call_item(self, position: int) -> _CallItem:
        """The item of the call at `position`, the last or a new one."""
        if self._call is None or self._call.position != position:
            self._close_all("completed")
            call = self._outcome.tool_calls[position]
            item_id = f"fc_{self._make_suffix()}"
            self._call = _CallItem(self._events, item_id, self._next_index(), position, call)
        return self._call

    def _next_index(self) -> int:
        self._items.append(None)
        return len(self._items) - 1

    def _close_text(self, status: str) -> None:
        if self._text is not None:
            self._items[self._text.output_index] = self._text.finish(status)
            self._text = None

    def _close_all(self, status: str) -> None:
        """Finish what is open, in its order."""
        open_items = [item for item in (self._text, self._call) if item is not None]
        for item in sorted(open_items, key=lambda item: item.output_index):
            self._items[item.output_index] = item.finish(status)
        self._text = self._call = None

    def _response(self, status: str) -> Json:
        facts = self._facts
        usage = self._outcome.usage
        total = UsageTotal()
        if usage is not None:
            total.add(usage, is_new_prompt=True)
        return {
            "id": facts.response_id,
            "object": "response",
            "created_at": facts.created,
            "completed_at": self._completed if status == "completed" else None,
            "status": status,
            "error": None,
            "incomplete_details": (
                {"reason": "max_output_tokens"} if status == "incomplete" else None
            ),
            "model": facts.model,
            "output": [item for item in self._items if item is not None],
            "usage": total.response_usage() if usage is not None else None,
            **facts.echoed,
        }


class _Events:
    """Encoded events that wait to be sent, and the sequence number of the next."""

    def __init__(self) -> None:
        self._next = 0
        self._encoded: list[bytes] = []

    def add(self, event_type: str, **fields: object) -> None:
        event = {"type": event_type, "sequence_number": self._next, **fields}
        self._next += 1
        self._encoded.append(named_event(event_type, _encode(event)))

    def take(self) -> bytes:
        encoded, self._encoded = self._encoded, []
        return b"".join(encoded)


class _CallItem:
    """A tool call, while it is written; `position` counts the calls."""

    def __init__(
        self, events: _Events, item_id: str, output_index: int, position: int, call: WrittenCall
    ) -> None:
        self._events = events
        self._place: Json = {"item_id": item_id, "output_index": output_index}
        self._call = call
        self._item: Json = {
            "id": item_id,
            "type": "function_call",
            "status": "in_progress",
            "call_id": call.id,
            "name": call.name,
            "arguments": "",
        }
        self.output_index = output_index
        self.position = position
        events.add("response.output_item.added", output_index=output_index, item=self._item)

    def extend(self, arguments: str) -> None:
        """Append to the arguments."""
        if arguments:
            event_type = "response.function_call_arguments.delta"
            self._events.add(event_type, **self._place, delta=arguments)

    def finish(self, status: str) -> Json:
        """The whole item."""
        arguments = self._call.arguments
        event_type = "response.function_call_arguments.done"
        self._events.add(event_type, **self._place, name=self._call.name, arguments=arguments)
        done: Json = {**self._item, "status": status, "arguments": arguments}
        self._events.add("response.output_item.done", output_index=self.output_index, item=done)
        return done


class _TextItem:
    """An output item with one part of text, while it is written."""

    id_prefix: str
    event_prefix: str

    def __init__(self, events: _Events, item_id: str, output_index: int) -> None:
        self._events = events
        self._item_id = item_id
        self.output_index = output_index
        self._texts: list[str] = []
        self._logprobs: list[TokenLogprobs] = []
        self._add_item_event("added", self._item("in_progress", []))
        self._add_part_event("added")

    def extend(self, text: str, logprobs: Sequence[TokenLogprobs]) -> None:
        """Append text."""
        self._texts.append(text)
        self._logprobs.extend(logprobs)
        self._add_text_event("delta", {"delta": text}, logprobs)

    def finish(self, status: str) -> Json:
        """The whole item."""
        self._add_text_event("done", {"text": "".join(self._texts)}, self._logprobs)
        self._add_part_event("done")
        item = self._item(status, [self._part()])
        self._add_item_event("done", item)
        return item

    def _item(self, status: str, content: list[Json]) -> Json:
        raise NotImplementedError

    def _part(self) -> Json:
        raise NotImplementedError

    def _text_fields(self, logprobs: Sequence[TokenLogprobs]) -> Json:
        return {}

    @property
    def _position(self) -> Json:
        return {
            "item_id": self._item_id,
            "output_index": self.output_index,
            "content_index": 0,
        }

    def _add_item_event(self, what: str, item: Json) -> None:
        name = f"response.output_item.{what}"
        self._events.add(name, output_index=self.output_index, item=item)

    def _add_part_event(self, what: str) -> None:
        name = f"response.content_part.{what}"
        self._events.add(name, **self._position, part=self._part())

    def _add_text_event(self, what: str, text: Json, logprobs: Sequence[TokenLogprobs]) -> None:
        name = f"{self.event_prefix}.{what}"
        self._events.add(name, **self._position, **text, **self._text_fields(logprobs))


class _MessageItem(_TextItem):
    id_prefix = "msg"
    event_prefix = "response.output_text"

    @override
    def _item(self, status: str, content: list[Json]) -> Json:
        return {
            "id": self._item_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    @override
    def _part(self) -> Json:
        return {
            "type": "output_text",
            "text": "".join(self._texts),
            "annotations": [],
            "logprobs": content_logprobs(self._logprobs),
        }

    @override
    def _text_fields(self, logprobs: Sequence[TokenLogprobs]) -> Json:
        return {"logprobs": content_logprobs(logprobs)}


class _ReasoningItem(_TextItem):
    id_prefix = "rs"
    event_prefix = "response.reasoning_text"

    @override
    def _item(self, status: str, content: list[Json]) -> Json:
        return {
            "id": self._item_id,
            "type": "reasoning",
            "status": status,
            "summary": [],
            "content": content,
        }

    @override
    def _part(self) -> Json:
        return {"type": "reasoning_text", "text": "".join(self._texts)}
