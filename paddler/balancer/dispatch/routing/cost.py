"""What a request costs at an agent, in seconds.

Its own estimated time to first token, and what it takes from others: a new
conversation at an agent whose slots all hold one pushes one of them out.
"""

from __future__ import annotations

from collections.abc import Iterable

from paddler.balancer.dispatch.pool import AgentSlots

UNKNOWN_PREFILL_TOKENS_PER_S = 500.0
"""Assumed while no agent has measured its speed."""

FULL_LOAD_S = 0.02
"""What a fully loaded agent adds for other reasons than prefill: decode steps to wait for."""

FIRST_BYTES_PER_TOKEN = 4.0
_LEARNING_RATE = 0.05


def usual_speed(agents: Iterable[AgentSlots]) -> float:
    """The prefill speed (tokens/s) to assume of an agent that has not measured its own."""
    known = sorted(
        agent.prefill_tokens_per_s for agent in agents if agent.prefill_tokens_per_s is not None
    )
    return known[len(known) // 2] if known else UNKNOWN_PREFILL_TOKENS_PER_S


SHARE_LOST_AT_FIRST = 0.5
"""Of a conversation that is pushed out, how much has to be prefilled again; see below."""


def lost_bytes(n_held: int, mean_bytes: float, shared_bytes: float, n_slots: int) -> float:
    """The content whose prefill is lost when a new conversation takes a slot.

    Nothing while there are fewer conversations than slots; then what a
    conversation has beyond the part that it shares with the new one. Host
    memory may take it in and the client may never return: half of it counts,
    and more, the more conversations the agent holds for each slot.
    """
    if n_held < n_slots:
        return 0.0
    share = min(1.0, SHARE_LOST_AT_FIRST * n_held / max(1, n_slots))
    return share * max(0.0, mean_bytes - shared_bytes)


def ttft_s(agent: AgentSlots, uncached_tokens: float, usual_tokens_per_s: float) -> float:
    """Queue and uncached tokens at the agent's own speed, slowed down by its load.

    The queue are the prompts that were given to it and have no first token yet.
    Running requests share each batch with the prefill.
    """
    speed = agent.prefill_tokens_per_s or usual_tokens_per_s
    load = agent.n_leased / agent.n_slots if agent.n_slots else 1.0
    prefill_s = (agent.pending_prefill_tokens + uncached_tokens) / speed
    return prefill_s * (1.0 + load) + FULL_LOAD_S * load


class BytesPerToken:
    """How many bytes of content make a token, learned from what agents count."""

    def __init__(self) -> None:
        self._ratio = FIRST_BYTES_PER_TOKEN

    @property
    def ratio(self) -> float:
        """Bytes per token."""
        return self._ratio

    def learn(self, n_bytes: int, n_tokens: int) -> None:
        """A prompt of `n_bytes` became `n_tokens` tokens."""
        if n_bytes >= 1 and n_tokens >= 1:
            seen = min(max(n_bytes / n_tokens, 0.5), 16.0)
            self._ratio += _LEARNING_RATE * (seen - self._ratio)
