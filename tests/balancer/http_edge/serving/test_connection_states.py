"""The connection's table, as it is written down and as a whole."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.serving import connection_states
from paddler.balancer.http_edge.serving.connection_states import (
    ENDING,
    READING,
    TRANSITIONS,
    Event,
    State,
    patience_s,
)

events = st.lists(st.sampled_from(Event), max_size=30)

ENDED_BY_OTHERS = {State.ANSWERING, State.LAST, State.CLOSING, State.OVER}
"""Here not the client is waited for: an answer is made, a request unwinds."""


def after(state: State, *happened: Event) -> State:
    for event in happened:
        state = TRANSITIONS[state].get(event, state)
    return state


def test_the_table_is_the_one_in_the_docstring() -> None:
    rows = [
        line.split()
        for line in (connection_states.__doc__ or "").splitlines()
        if line.startswith(" " * 4) and not line.strip().startswith("-  ")
    ]
    header, *body = rows
    assert header == [event.name for event in Event]
    assert [row[0] for row in body] == [state.name for state in State]
    for state, *cells in body:
        documented = {
            Event[event]: State[cell]
            for event, cell in zip(header, cells, strict=True)
            if cell != "-"
        }
        assert TRANSITIONS[State[state]] == documented, state


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", [Event.CUT, Event.HUNG_UP])
def test_without_the_client_a_connection_is_over(state: State, event: Event) -> None:
    assert after(state, event) is State.OVER


@pytest.mark.parametrize("state", set(State) - ENDED_BY_OTHERS)
def test_a_client_that_does_nothing_ends_its_connection(state: State) -> None:
    assert patience_s(state, EdgeLimits()) < math.inf
    assert after(state, Event.SILENT) in ENDING
    assert after(state, Event.SILENT, Event.UNWOUND, Event.SILENT) is State.OVER


@pytest.mark.parametrize("state", ENDED_BY_OTHERS)
def test_nobody_loses_patience_with_a_client_that_waits(state: State) -> None:
    assert patience_s(state, EdgeLimits()) == math.inf
    assert after(state, Event.SILENT) is state


@given(before=events, later=events)
def test_what_is_ending_never_reads_or_answers_again(
    before: list[Event], later: list[Event]
) -> None:
    state = after(State.HEAD, *before)
    if state in ENDING:
        assert after(state, *later) in ENDING


@given(before=events, later=events)
def test_a_stopping_service_takes_no_other_request(before: list[Event], later: list[Event]) -> None:
    stopped = after(State.HEAD, *before, Event.STOP)
    assert stopped not in READING
    assert after(stopped, *later) not in {*READING, State.ANSWERING}
