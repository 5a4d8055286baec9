"""The reconciler's states and events: a table, and nothing that waits.

`step` takes a state and an event and returns the next state and the commands
that the shell (`reconciler`) carries out. One attempt runs at a time, and the
table is the only place that starts or cancels one:

                  Told            Succeeded     Failed, may pass   Failed for good  RetryDue
  Idle            Attempting      –             –                  –                –
  Attempting      Attempting *    Applied       Waiting            GivenUp          –
  Waiting         Attempting      –             –                  –                Attempting
  Applied         Attempting      –             –                  –                –
  GivenUp         Attempting      –             –                  –                –

  –  is left as it is: an event from an attempt or a timer that is over.
  *  cancels the attempt first, unless it applies the same state already.

Told what it serves already, the agent starts nothing.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from paddler.messages.agents import ApplicationStatus
from paddler.messages.state import ApplicableState

__all__ = [
    "STUCK_AFTER_FAILURES",
    "Applied",
    "Attempting",
    "CancelAttempt",
    "Command",
    "Event",
    "Failed",
    "GivenUp",
    "Idle",
    "RetryDue",
    "ScheduleRetry",
    "StartAttempt",
    "State",
    "Succeeded",
    "Target",
    "Told",
    "Waiting",
    "application_status",
    "applied_version",
    "attempted_version",
    "step",
]

STUCK_AFTER_FAILURES = 5
"""Failures in a row after which an operator should look."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What is to be applied; equal versions are equal states."""

    version: int
    state: ApplicableState
    drain_timeout_s: float


# States.


@dataclasses.dataclass(frozen=True, slots=True)
class Idle:
    """Nothing was told yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempting:
    """Attempt `attempt` runs; `n_failures` in a row went before it."""

    target: Target
    attempt: int
    n_failures: int


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """The last attempt failed; another one follows after a while."""

    target: Target
    attempt: int
    n_failures: int


@dataclasses.dataclass(frozen=True, slots=True)
class Applied:
    """The target is what the agent serves."""

    target: Target
    attempt: int


@dataclasses.dataclass(frozen=True, slots=True)
class GivenUp:
    """The target cannot be applied; only another one helps."""

    target: Target
    attempt: int


State: TypeAlias = Idle | Attempting | Waiting | Applied | GivenUp


# Events.


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """The balancer tells what to apply."""

    target: Target


@dataclasses.dataclass(frozen=True, slots=True)
class Succeeded:
    """Attempt `attempt` applied its target."""

    attempt: int


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """Attempt `attempt` failed; see `errors.AttemptFailed` for the two flags."""

    attempt: int
    retryable: bool
    patient: bool


@dataclasses.dataclass(frozen=True, slots=True)
class RetryDue:
    """The wait after attempt `attempt` is over."""

    attempt: int


Event: TypeAlias = Told | Succeeded | Failed | RetryDue


# Commands.


@dataclasses.dataclass(frozen=True, slots=True)
class StartAttempt:
    """Apply `target` as attempt `attempt`."""

    target: Target
    attempt: int


@dataclasses.dataclass(frozen=True, slots=True)
class CancelAttempt:
    """Stop the attempt that runs, and wait until it has stopped."""


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduleRetry:
    """Send `RetryDue(attempt)` after the backoff of `n_failures` failures."""

    attempt: int
    n_failures: int


Command: TypeAlias = StartAttempt | CancelAttempt | ScheduleRetry


def step(state: State, event: Event) -> tuple[State, list[Command]]:
    """The next state, and what has to be done for it, in order."""
    match event:
        case Told(target):
            return _told(state, target)
        case Succeeded(attempt):
            if isinstance(state, Attempting) and state.attempt == attempt:
                return Applied(state.target, attempt), []
        case Failed(attempt, retryable, patient):
            if isinstance(state, Attempting) and state.attempt == attempt:
                if not retryable:
                    return GivenUp(state.target, attempt), []
                n_failures = max(1, state.n_failures + (not patient))
                waiting = Waiting(state.target, attempt, n_failures)
                return waiting, [ScheduleRetry(attempt, n_failures)]
        case RetryDue(attempt):
            if isinstance(state, Waiting) and state.attempt == attempt:
                return _attempt(state.target, attempt + 1, state.n_failures)
    return state, []


def application_status(state: State) -> ApplicationStatus:
    """How the snapshot calls the state."""
    match state:
        case Idle() | Attempting(n_failures=0):
            return ApplicationStatus.FRESH
        case Attempting(n_failures=n_failures) | Waiting(n_failures=n_failures):
            if n_failures >= STUCK_AFTER_FAILURES:
                return ApplicationStatus.STUCK
            return ApplicationStatus.ATTEMPTED_AND_RETRYING
        case Applied():
            return ApplicationStatus.APPLIED
        case GivenUp():
            return ApplicationStatus.ATTEMPTED_AND_NOT_APPLIABLE


def applied_version(state: State) -> int | None:
    """The version that the agent serves."""
    return state.target.version if isinstance(state, Applied) else None


def attempted_version(state: State) -> int | None:
    """The version that the status is about."""
    return None if isinstance(state, Idle) else state.target.version


def _told(state: State, target: Target) -> tuple[State, list[Command]]:
    match state:
        case Idle():
            return _attempt(target, 1, 0)
        case Attempting(running, attempt, n_failures):
            if running.version == target.version:
                return Attempting(target, attempt, n_failures), []
            following, commands = _attempt(target, attempt + 1, 0)
            return following, [CancelAttempt(), *commands]
        case Applied(applied, attempt) if applied.version == target.version:
            return Applied(target, attempt), []
        case Waiting(attempt=attempt) | Applied(attempt=attempt) | GivenUp(attempt=attempt):
            return _attempt(target, attempt + 1, 0)


def _attempt(target: Target, attempt: int, n_failures: int) -> tuple[State, list[Command]]:
    return Attempting(target, attempt, n_failures), [StartAttempt(target, attempt)]
