"""From the URL of the command line to a state database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from paddler.balancer.state_database.errors import BadDatabaseUrl
from paddler.balancer.state_database.file import FileStateDatabase
from paddler.balancer.state_database.memory import MemoryStateDatabase


def open_state_database(url: str) -> MemoryStateDatabase | FileStateDatabase:
    """The database that `url` names: `memory://` or `file:///absolute/path`. No I/O yet.

    Raises:
        BadDatabaseUrl: Anything else.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory" and not (parts.netloc or parts.path):
        return MemoryStateDatabase()
    if parts.scheme == "file" and not parts.netloc and len(parts.path) > 1:
        return FileStateDatabase(Path(unquote(parts.path)))
    message = f"a state database is memory:// or file:///absolute/path, not {url!r}"
    raise BadDatabaseUrl(message)
