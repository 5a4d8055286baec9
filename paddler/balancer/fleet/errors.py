"""Why a link ended.

LinkEnded
├── LinkRefused     the agent was never registered
├── LinkReplaced    the same agent connected again
├── PeerSilent      nothing heard for too long, or it does not read
└── BadFrame        a frame that is not of the protocol
"""

from __future__ import annotations


class LinkEnded(Exception):
    """The link is over; the text says why, and the agent is told it."""


class LinkRefused(LinkEnded):
    """The agent was never registered."""


class LinkReplaced(LinkEnded):
    """The same agent connected again."""


class PeerSilent(LinkEnded):
    """Nothing was heard for too long, or nothing is read at the other end."""


class BadFrame(LinkEnded):
    """A frame that is not of the protocol."""
