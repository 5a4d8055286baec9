"""Token counts as OpenAI's API gives them."""

from __future__ import annotations

import dataclasses

from paddler.messages.generation import Usage


@dataclasses.dataclass
class UsageTotal:
    """The bill of one request.

    A prompt counts once, however many choices continue it.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    def add(self, usage: Usage, *, is_new_prompt: bool) -> None:
        """Add a choice that has ended."""
        if is_new_prompt:
            self.prompt_tokens += usage.prompt_tokens
            self.cached_tokens += usage.cached_prompt_tokens
        self.completion_tokens += (
            usage.content_tokens
            + usage.reasoning_tokens
            + usage.tool_call_tokens
            + usage.undeterminable_tokens
        )
        self.reasoning_tokens += usage.reasoning_tokens

    def completion_usage(self) -> dict[str, object]:
        """`usage` of chat completions and completions."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def response_usage(self) -> dict[str, object]:
        """`usage` of responses."""
        return {
            "input_tokens": self.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": self.cached_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": self.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }
