"""How much one client of the inference service may ask for."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferenceLimits:
    """Limits of the inference service.

    Attributes:
        max_sockets: Inference sockets open at once.
        max_requests_per_socket: Requests of one socket that are not over yet.
        max_tools: Tools of one conversation.
        max_images: Images of one conversation.
        max_waiting_items: Items of one request its client may be behind; past
            it the request ends.
    """

    max_sockets: int = 1024
    max_requests_per_socket: int = 256
    max_tools: int = 256
    max_images: int = 32
    max_waiting_items: int = 65_536


DEFAULT_INFERENCE_LIMITS = InferenceLimits()
