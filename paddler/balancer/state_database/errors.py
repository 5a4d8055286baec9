"""What can go wrong with a state database.

StateDatabaseError
├── BadDatabaseUrl       neither `memory://` nor `file:///path`
├── DatabaseUnparsable   the file is not a state database; it is left untouched
└── DatabaseUnusable     the operating system refuses
"""

from __future__ import annotations


class StateDatabaseError(Exception):
    """The text is fit to be shown to an operator."""


class BadDatabaseUrl(StateDatabaseError):
    """Neither `memory://` nor `file:///path`."""


class DatabaseUnparsable(StateDatabaseError):
    """The file is not a state database; it is left untouched."""


class DatabaseUnusable(StateDatabaseError):
    """The file cannot be read or written."""
