"""A client's connection as a table: states, events, and how long a state may last.

Nothing here waits: `connection` reads, writes and tells this table what
happened, and looks up what it may still do.

                HEARD   REQUEST    UPGRADE  ANSWERED  CLOSED   UNWOUND    HUNG_UP  SILENT   CUT   STOP
    HEAD        -       ANSWERING  -        -         CLOSING  -          OVER     CLOSING  OVER  OVER
    IDLE        HEAD    ANSWERING  -        -         CLOSING  -          OVER     CLOSING  OVER  OVER
    ANSWERING   -       -          SOCKET   IDLE      CLOSING  -          OVER     -        OVER  LAST
    LAST        -       -          SOCKET   CLOSING   CLOSING  -          OVER     -        OVER  -
    SOCKET      SOCKET  -          -        -         CLOSING  -          OVER     OVER     OVER  -
    CLOSING     -       -          -        -         -        LINGERING  OVER     -        OVER  -
    LINGERING   -       -          -        -         -        -          OVER     OVER     OVER  -
    OVER        -       -          -        -         -        -          -        -        -     -

    -  nothing changes, and the state's time goes on. SOCKET after HEARD begins anew.
"""  # noqa: E501  # a table is read by its columns

from __future__ import annotations

import enum
import math
from collections.abc import Mapping

from paddler.balancer.http_edge.limits import EdgeLimits


class State(enum.Enum):
    """What a connection is doing."""

    HEAD = "head"
    """Reads a request's head: the connection is new, or its next request has begun."""
    IDLE = "idle"
    """Waits for the next request."""
    ANSWERING = "answering"
    LAST = "last"
    """Answers its last request: the service stops."""
    SOCKET = "socket"
    """Is a WebSocket, or is asked to become one."""
    CLOSING = "closing"
    """Nothing new is said or heard; what works for the last request unwinds."""
    LINGERING = "lingering"
    """Our end is closed, and the client may read the end of what was sent: a reset
    would destroy it."""
    OVER = "over"
    """Nothing is sent any more, and nothing is waited for."""


class Event(enum.Enum):
    """What happens to a connection."""

    HEARD = "heard"
    """The client sent something."""
    REQUEST = "request"
    """The head of a request is complete."""
    UPGRADE = "upgrade"
    """The request asks for a WebSocket."""
    ANSWERED = "answered"
    """The answer was sent, and another request may follow."""
    CLOSED = "closed"
    """The protocol ends the connection: after an answer, a closing frame, or nonsense."""
    UNWOUND = "unwound"
    """Nothing works for a request any more."""
    HUNG_UP = "hung_up"
    """The client sends nothing more: it closed its end, reset it, or closed its WebSocket."""
    SILENT = "silent"
    """The client let the state's time pass."""
    CUT = "cut"
    """A write was cut short, after which the client could make no sense of another; or
    the client sends more than may wait."""
    STOP = "stop"
    """The service stops."""


_READING: Mapping[Event, State] = {
    Event.REQUEST: State.ANSWERING,
    Event.CLOSED: State.CLOSING,
    Event.HUNG_UP: State.OVER,
    Event.SILENT: State.CLOSING,
    Event.CUT: State.OVER,
    Event.STOP: State.OVER,
}

TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.HEAD: _READING,
    State.IDLE: {**_READING, Event.HEARD: State.HEAD},
    State.ANSWERING: {
        Event.UPGRADE: State.SOCKET,
        Event.ANSWERED: State.IDLE,
        Event.CLOSED: State.CLOSING,
        Event.HUNG_UP: State.OVER,
        Event.CUT: State.OVER,
        Event.STOP: State.LAST,
    },
    State.LAST: {
        Event.UPGRADE: State.SOCKET,
        Event.ANSWERED: State.CLOSING,
        Event.CLOSED: State.CLOSING,
        Event.HUNG_UP: State.OVER,
        Event.CUT: State.OVER,
    },
    State.SOCKET: {
        Event.HEARD: State.SOCKET,
        Event.CLOSED: State.CLOSING,
        Event.HUNG_UP: State.OVER,
        Event.SILENT: State.OVER,
        Event.CUT: State.OVER,
    },
    State.CLOSING: {
        Event.UNWOUND: State.LINGERING,
        Event.HUNG_UP: State.OVER,
        Event.CUT: State.OVER,
    },
    State.LINGERING: {
        Event.HUNG_UP: State.OVER,
        Event.SILENT: State.OVER,
        Event.CUT: State.OVER,
    },
    State.OVER: {},
}

READING = frozenset({State.HEAD, State.IDLE})
"""Here the end of what the client sends is the protocol's to judge."""

ENDING = frozenset({State.CLOSING, State.LINGERING, State.OVER})
"""Here nothing that the client sends is looked at."""


def patience_s(state: State, limits: EdgeLimits) -> float:
    """How long a client may let `state` last, in seconds: then it is `SILENT`."""
    match state:
        case State.HEAD:
            return limits.header_read_timeout_s
        case State.IDLE:
            return limits.keep_alive_timeout_s
        case State.SOCKET:
            return limits.socket_silence_s
        case State.LINGERING:
            return limits.linger_s
        case _:
            return math.inf
