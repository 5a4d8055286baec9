"""Who imports whom in the admin panel's source; circles between files are Biome's to find."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = (
    Path(__file__).resolve().parents[2] / "paddler" / "balancer" / "admin_panel" / "frontend/src"
)

MAIN = "main.tsx"

ROOMS: Mapping[str, set[str]] = {
    # Makes the panel and shows it.
    MAIN: {"shell", "api", "ui"},
    # The frame around the pages, and what outlives a look at another page.
    "shell": {"dashboard", "model", "prompt", "api", "ui", "store"},
    # The pages, which know nothing of each other.
    "dashboard": {"fleet", "api", "ui", "store"},
    "model": {"fleet", "api", "ui", "store"},
    "prompt": {"fleet", "api", "ui", "store"},
    # What several pages show of agents.
    "fleet": {"api", "ui"},
    # Controls and texts, which know no message.
    "ui": {"store"},
    # The services, and what they say.
    "api": {"store"},
    # Values with watchers.
    "store": set(),
}

ROOMS_OF_PROMPT: Mapping[str, set[str]] = {
    "page": {"chat", "raw-prompt", "embeddings", "settings"},
    "chat": {"answer", "settings"},
    "raw-prompt": {"answer", "settings"},
    "embeddings": set(),
    "answer": set(),
    "settings": set(),
}

PACKAGES: Mapping[str, set[str]] = {
    "preact": {MAIN, "shell", "dashboard", "model", "prompt", "fleet", "ui", "store"},
    "uplot": {"dashboard"},
}
"""Foreign packages and who may import them."""

# As Biome writes them: `import "x"`, `… from "x"`, `import("x")`.
_IMPORT = re.compile(r'(?:^import |\bfrom |\bimport\()"(?P<path>[^"]+)"', re.MULTILINE)


def sources() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.ts*") if not path.name.endswith(".d.ts"))


def imports_of(path: Path) -> set[str]:
    return {match["path"] for match in _IMPORT.finditer(path.read_text(encoding="utf-8"))}


def imported_files(path: Path) -> set[Path]:
    own = {imported for imported in imports_of(path) if imported.startswith(".")}
    return {(path.parent / imported).resolve().relative_to(SOURCE) for imported in own}


def room_of(path: Path) -> str:
    return path.parts[0]


def room_of_prompt(path: Path) -> str:
    return path.parts[1] if len(path.parts) > 2 else "page"


def test_every_room_keeps_to_those_it_may_import() -> None:
    assert {room_of(path.relative_to(SOURCE)) for path in sources()} == set(ROOMS)
    wrong = [
        f"{path.relative_to(SOURCE)} imports {imported}"
        for path in sources()
        for imported in imported_files(path)
        if room_of(imported) not in {room := room_of(path.relative_to(SOURCE)), *ROOMS[room]}
    ]
    assert not wrong


def test_every_room_of_the_prompt_page_keeps_to_those_it_may_import() -> None:
    inside = [path for path in sources() if room_of(path.relative_to(SOURCE)) == "prompt"]
    assert {room_of_prompt(path.relative_to(SOURCE)) for path in inside} == set(ROOMS_OF_PROMPT)
    wrong = [
        f"{path.relative_to(SOURCE)} imports {imported}"
        for path in inside
        for imported in imported_files(path)
        if room_of(imported) == "prompt"
        and room_of_prompt(imported)
        not in {room := room_of_prompt(path.relative_to(SOURCE)), *ROOMS_OF_PROMPT[room]}
    ]
    assert not wrong


def test_foreign_packages_come_in_where_they_belong() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)} imports {imported}"
        for path in sources()
        for imported in imports_of(path)
        if not imported.startswith(".")
        and room_of(path.relative_to(SOURCE)) not in PACKAGES.get(imported.split("/")[0], set())
    ]
    assert not wrong


@pytest.mark.parametrize("rooms", [ROOMS, ROOMS_OF_PROMPT])
def test_the_rooms_are_no_circle(rooms: Mapping[str, set[str]]) -> None:
    graphlib.TopologicalSorter(rooms).prepare()
