"""Who includes whom in native/src: its rooms in one order, its modules without a circle.

A module is a header with the source file of the same name.
"""

from __future__ import annotations

import graphlib
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "native" / "src"
PUBLIC_HEADERS = ROOT / "native" / "include"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

# A room includes rooms further down, never one above it or beside it.
ROOMS = (
    ("engine", "embeddings", "chat"),
    ("slots",),
    ("images", "sampling"),
    ("model",),
    ("platform",),
)
LEVELS = {room: level for level, beside in enumerate(ROOMS) for room in beside}


def files() -> list[Path]:
    """Sources and headers, relative to native/src."""
    found = [path for path in SOURCE.rglob("*") if path.suffix in {".cpp", ".h"}]
    return sorted(path.relative_to(SOURCE) for path in found)


def includes(file: Path) -> list[str]:
    """What stands between the quotes, in the file's order."""
    return INCLUDE.findall((SOURCE / file).read_text(encoding="utf-8"))


def own_includes() -> list[tuple[Path, Path]]:
    """Pairs of a file and a header of ours that it includes."""
    ours = set(files())
    return [(file, Path(name)) for file in ours for name in includes(file) if Path(name) in ours]


def test_every_file_stands_in_a_room_of_the_order() -> None:
    assert {file.parts[0] for file in files()} == set(LEVELS)
    assert all(len(file.parts) == 2 for file in files()), "rooms hold files"


def test_our_headers_are_included_by_room_and_name() -> None:
    names = {file.name for file in files()}
    public = {header.name for header in PUBLIC_HEADERS.glob("*.h")}
    bare = [(str(file), name) for file in files() for name in includes(file) if name in names]
    assert not bare
    relative = [(str(file), name) for file in files() for name in includes(file) if "../" in name]
    assert not relative
    assert not names & public, "a public header and one of ours have the same name"


def test_a_room_includes_only_what_stands_below_it() -> None:
    upward = [
        f"{file} includes {header}"
        for file, header in own_includes()
        if file.parts[0] != header.parts[0] and LEVELS[file.parts[0]] >= LEVELS[header.parts[0]]
    ]
    assert not upward


def test_no_module_includes_itself_by_way_of_others() -> None:
    edges: defaultdict[Path, set[Path]] = defaultdict(set)
    for file, header in own_includes():
        if file.with_suffix("") != header.with_suffix(""):
            edges[file.with_suffix("")].add(header.with_suffix(""))
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(str(module) for module in error.args[1])
        raise AssertionError(f"these include each other: {circle}") from None
