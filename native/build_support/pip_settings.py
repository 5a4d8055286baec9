"""pip's own configuration: where packages come from, and how to get there.

Asked of pip itself (`pip config list` and the defaults in its help), so that
files, environment variables and their precedence are pip's.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

# Later ones win; pip download would read exactly these, and people configure install.
SECTIONS = ("global", "install", "download", ":env:")
DEFAULT_INDEX = re.compile(r"--index-url.*?\(default:? (\S+?)\)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class PipSettings:
    """What the fetcher needs of pip's configuration."""

    index_urls: tuple[str, ...]  # the main index first
    find_links: tuple[str, ...]
    trusted_hosts: frozenset[str]
    proxy: str | None
    cert: str | None
    timeout_s: float


def read_pip_settings() -> PipSettings:
    """Asks pip; without any pip only its environment variables are known."""
    pip = _pip_command()
    options = _options_from_environment() if pip is None else _options(_run(pip, "config", "list"))
    no_index = options.get("no-index", "").lower() in {"1", "true", "yes", "on"}
    index = options.get("index-url")
    if index is None and pip is not None and not no_index:
        index = _default_index(pip)
    index_urls = [index] if index else []
    index_urls += options.get("extra-index-url", "").split()
    return PipSettings(
        index_urls=() if no_index else tuple(index_urls),
        find_links=tuple(options.get("find-links", "").split()),
        trusted_hosts=frozenset(options.get("trusted-host", "").split()),
        proxy=options.get("proxy") or None,
        cert=options.get("cert") or None,
        timeout_s=float(options.get("timeout") or options.get("default-timeout") or 15),
    )


def _pip_command() -> list[str] | None:
    # pip is a build requirement; a build without isolation may still lack it.
    module = [sys.executable, "-m", "pip"]
    if _run(module, "--version"):
        return module
    found = shutil.which("pip") or shutil.which("pip3")
    return [found] if found else None


def _run(pip: list[str], *arguments: str) -> str:
    environment = dict(os.environ, COLUMNS="500", PIP_DISABLE_PIP_VERSION_CHECK="1")
    try:
        done = subprocess.run(
            [*pip, *arguments], capture_output=True, text=True, env=environment, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _options(listing: str) -> dict[str, str]:
    by_section: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.strip().rpartition(".")
        if section in by_section:
            try:
                by_section[section][name] = str(ast.literal_eval(value))
            except (SyntaxError, ValueError):
                continue
    return {name: value for section in SECTIONS for name, value in by_section[section].items()}


def _options_from_environment() -> dict[str, str]:
    return {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in os.environ.items()
        if name.startswith("PIP_")
    }


def _default_index(pip: list[str]) -> str | None:
    found = DEFAULT_INDEX.search(_run(pip, "download", "--help"))
    return found.group(1) if found else None
