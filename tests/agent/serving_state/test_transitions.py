"""The reconciler's table: every state with every event, and what holds for any sequence."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddler.agent.serving_state.transitions import (
    STUCK_AFTER_FAILURES,
    Applied,
    Attempting,
    CancelAttempt,
    Command,
    Event,
    Failed,
    GivenUp,
    Idle,
    RetryDue,
    ScheduleRetry,
    StartAttempt,
    State,
    Succeeded,
    Target,
    Told,
    Waiting,
    application_status,
    applied_version,
    attempted_version,
    step,
)
from paddler.messages.agents import ApplicationStatus
from paddler.messages.state import DesiredState, InferenceParameters


def target(version: int) -> Target:
    parameters = msgspec.structs.replace(InferenceParameters(), top_k=version)
    return Target(version, DesiredState(inference_parameters=parameters).applicable(), 10.0)


ONE, TWO = target(1), target(2)
MAY_PASS = Failed(3, retryable=True, patient=False)
PATIENT = Failed(3, retryable=True, patient=True)
FINAL = Failed(3, retryable=False, patient=False)

IDLE = Idle()
ATTEMPTING = Attempting(ONE, 3, 1)
WAITING = Waiting(ONE, 3, 2)
APPLIED = Applied(ONE, 3)
GIVEN_UP = GivenUp(ONE, 3)

TABLE: list[tuple[State, Event, State, list[Command]]] = [
    (IDLE, Told(ONE), Attempting(ONE, 1, 0), [StartAttempt(ONE, 1)]),
    (IDLE, Succeeded(3), IDLE, []),
    (IDLE, MAY_PASS, IDLE, []),
    (IDLE, FINAL, IDLE, []),
    (IDLE, RetryDue(3), IDLE, []),
    (ATTEMPTING, Told(ONE), ATTEMPTING, []),
    (ATTEMPTING, Told(TWO), Attempting(TWO, 4, 0), [CancelAttempt(), StartAttempt(TWO, 4)]),
    (ATTEMPTING, Succeeded(3), APPLIED, []),
    (ATTEMPTING, Succeeded(2), ATTEMPTING, []),
    (ATTEMPTING, MAY_PASS, WAITING, [ScheduleRetry(3, 2)]),
    (
        ATTEMPTING,
        Failed(3, retryable=True, patient=True),
        Waiting(ONE, 3, 1),
        [ScheduleRetry(3, 1)],
    ),
    (ATTEMPTING, Failed(2, retryable=True, patient=False), ATTEMPTING, []),
    (ATTEMPTING, FINAL, GIVEN_UP, []),
    (ATTEMPTING, RetryDue(3), ATTEMPTING, []),
    (WAITING, Told(ONE), Attempting(ONE, 4, 0), [StartAttempt(ONE, 4)]),
    (WAITING, Told(TWO), Attempting(TWO, 4, 0), [StartAttempt(TWO, 4)]),
    (WAITING, Succeeded(3), WAITING, []),
    (WAITING, MAY_PASS, WAITING, []),
    (WAITING, FINAL, WAITING, []),
    (WAITING, RetryDue(3), Attempting(ONE, 4, 2), [StartAttempt(ONE, 4)]),
    (WAITING, RetryDue(2), WAITING, []),
    (APPLIED, Told(ONE), APPLIED, []),
    (APPLIED, Told(TWO), Attempting(TWO, 4, 0), [StartAttempt(TWO, 4)]),
    (APPLIED, Succeeded(3), APPLIED, []),
    (APPLIED, MAY_PASS, APPLIED, []),
    (APPLIED, FINAL, APPLIED, []),
    (APPLIED, RetryDue(3), APPLIED, []),
    (GIVEN_UP, Told(ONE), Attempting(ONE, 4, 0), [StartAttempt(ONE, 4)]),
    (GIVEN_UP, Told(TWO), Attempting(TWO, 4, 0), [StartAttempt(TWO, 4)]),
    (GIVEN_UP, Succeeded(3), GIVEN_UP, []),
    (GIVEN_UP, MAY_PASS, GIVEN_UP, []),
    (GIVEN_UP, FINAL, GIVEN_UP, []),
    (GIVEN_UP, RetryDue(3), GIVEN_UP, []),
]


@pytest.mark.parametrize(("state", "event", "following", "commands"), TABLE)
def test_table(state: State, event: Event, following: State, commands: list[Command]) -> None:
    assert step(state, event) == (following, commands)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (IDLE, ApplicationStatus.FRESH),
        (Attempting(ONE, 1, 0), ApplicationStatus.FRESH),
        (ATTEMPTING, ApplicationStatus.ATTEMPTED_AND_RETRYING),
        (WAITING, ApplicationStatus.ATTEMPTED_AND_RETRYING),
        (Waiting(ONE, 9, STUCK_AFTER_FAILURES), ApplicationStatus.STUCK),
        (Attempting(ONE, 9, STUCK_AFTER_FAILURES), ApplicationStatus.STUCK),
        (APPLIED, ApplicationStatus.APPLIED),
        (GIVEN_UP, ApplicationStatus.ATTEMPTED_AND_NOT_APPLIABLE),
    ],
)
def test_status(state: State, status: ApplicationStatus) -> None:
    assert application_status(state) is status


class Shell:
    """Carries out commands as the reconciler does, without doing anything."""

    def __init__(self) -> None:
        self.state: State = Idle()
        self.running: set[int] = set()
        self.told: int | None = None

    def happen(self, event: Event) -> None:
        self.state, commands = step(self.state, event)
        for command in commands:
            match command:
                case StartAttempt(_, attempt):
                    assert self.running == set(), "two attempts at a time"
                    self.running = {attempt}
                case CancelAttempt():
                    self.running = set()
                case ScheduleRetry(_, n_failures):
                    assert n_failures >= 1

    def end(self, *, ok: bool, retryable: bool) -> None:
        for attempt in self.running:
            self.running = set()
            event = Succeeded(attempt) if ok else Failed(attempt, retryable, patient=False)
            self.happen(event)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("told"), st.integers(1, 3)),
            st.tuples(st.just("ends"), st.integers(0, 2)),
            st.tuples(st.just("due"), st.integers(0, 9)),
        )
    )
)
def test_any_sequence_leads_to_what_was_told_last(actions: list[tuple[str, int]]) -> None:
    shell = Shell()
    for action, value in actions:
        match action:
            case "told":
                shell.told = value
                shell.happen(Told(target(value)))
            case "ends":
                shell.end(ok=value == 0, retryable=value == 1)
            case _:
                shell.happen(RetryDue(value))
        # Nothing is applied but what was told last, and an attempt runs exactly while it should.
        assert attempted_version(shell.state) == shell.told
        assert applied_version(shell.state) in (None, shell.told)
        assert bool(shell.running) == isinstance(shell.state, Attempting)
    if isinstance(shell.state, Waiting):
        shell.happen(RetryDue(shell.state.attempt))
    if isinstance(shell.state, Attempting):
        shell.end(ok=True, retryable=False)
        assert applied_version(shell.state) == shell.told
