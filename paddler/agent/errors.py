"""What can go wrong in the agent outside of the engine and the model sources.

AgentError
├── LinkLost           the link to the balancer ended
│   ├── LinkRefused    the balancer does not want this agent
│   └── LinkProtocol   the balancer sent something that is no frame
└── AttemptFailed      a state could not be applied
"""

from __future__ import annotations

from collections.abc import Sequence

from paddler.messages.agents import Issue


class AgentError(Exception):
    """The agent could not do something; the text is fit to be shown to an operator."""


class LinkLost(AgentError):
    """The link ended; the text says why."""


class LinkRefused(LinkLost):
    """The balancer answered `Refused`; the text is its reason."""


class LinkProtocol(LinkLost):
    """The balancer sent something that is no frame, or not now."""


class AttemptFailed(AgentError):
    """A state could not be applied.

    `retryable`: another attempt may succeed without a new state. `patient`:
    what is waited for takes its time, so that failing often means nothing.
    """

    def __init__(
        self, message: str, *, issues: Sequence[Issue], retryable: bool, patient: bool = False
    ) -> None:
        super().__init__(message)
        self.issues = tuple(issues)
        self.retryable = retryable
        self.patient = patient
