"""How much one request of the OpenAI-compatible service may ask for."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenAiLimits:
    """Limits of the OpenAI-compatible service.

    Attributes:
        max_choices: Generations of one request: `n`, times the prompts of a completion.
        max_tools: Tools of one request.
        max_images: Images of one request.
        max_documents: Texts of one embeddings request.
        max_waiting_items: Items of one request its client may be behind; past
            it the request ends.
    """

    max_choices: int = 128
    max_tools: int = 256
    max_images: int = 32
    max_documents: int = 2048
    max_waiting_items: int = 65_536


DEFAULT_OPENAI_LIMITS = OpenAiLimits()
