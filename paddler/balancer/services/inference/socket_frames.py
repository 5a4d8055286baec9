"""What clients send over the inference socket."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from paddler.balancer.services.inference.translation import GenerationRequest
from paddler.messages.decoding import MalformedMessage, decode_json
from paddler.messages.inference import ContinueFromConversationHistory, ContinueFromRawPrompt
from paddler.messages.one_of import OneOf

RequestId = Annotated[str, Meta(max_length=1024)]


class RequestVariant(
    OneOf,
    frozen=True,
    rename={
        "raw_prompt": "ContinueFromRawPrompt",
        "conversation_history": "ContinueFromConversationHistory",
    },
):
    """One of the two requests."""

    SUBJECT = "a request is"

    raw_prompt: ContinueFromRawPrompt | UnsetType = UNSET
    conversation_history: ContinueFromConversationHistory | UnsetType = UNSET

    @property
    def asked(self) -> GenerationRequest:
        """The one that is there."""
        if isinstance(self.raw_prompt, ContinueFromRawPrompt):
            return self.raw_prompt
        assert isinstance(self.conversation_history, ContinueFromConversationHistory)
        return self.conversation_history


class SocketRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answer `request` under the name `id`."""

    id: RequestId
    request: RequestVariant


class SocketNotification(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"stop_responding_to": "StopRespondingTo"},
):
    """Cancel the request of that name."""

    stop_responding_to: RequestId


class SocketFrame(
    OneOf,
    frozen=True,
    rename={"request": "Request", "notification": "Notification"},
):
    """One frame: a request or a notification."""

    SUBJECT = "a frame is"

    request: SocketRequest | UnsetType = UNSET
    notification: SocketNotification | UnsetType = UNSET

    @property
    def content(self) -> SocketRequest | SocketNotification:
        """The one that is there."""
        if isinstance(self.request, SocketRequest):
            return self.request
        assert isinstance(self.notification, SocketNotification)
        return self.notification


class _FrameWithId(msgspec.Struct, frozen=True, rename={"request": "Request"}):
    request: dict[str, object] | None = None


def decode_frame(frame: str | bytes) -> SocketRequest | SocketNotification:
    """Decode one frame.

    Raises:
        MalformedMessage: Binary, not JSON, or outside the contract.
    """
    if isinstance(frame, bytes):
        message = "only text frames are understood"
        raise MalformedMessage(message)
    return decode_json(frame, SocketFrame).content


def readable_request_id(frame: str | bytes) -> str:
    """The id in a frame that does not decode, or an empty string."""
    try:
        loose = msgspec.json.decode(frame, type=_FrameWithId)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    found = (loose.request or {}).get("id")
    return found if isinstance(found, str) else ""
