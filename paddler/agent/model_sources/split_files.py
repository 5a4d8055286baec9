"""Models split over several files: `name-00001-of-00003.gguf`.

llama.cpp is given the first part and finds the others beside it by name.
"""

from __future__ import annotations

import re

MAX_PARTS = 1000

_SPLIT_NAME = re.compile(r"(?P<prefix>.*)-(?P<part>\d{5})-of-(?P<n_parts>\d{5})\.gguf", re.DOTALL)


def part_names(filename: str) -> list[str]:
    """All parts of the model that `filename` is a part of, first part first.

    A file that is no part of anything is its own only part. Only the last
    component of a path matters, so paths and URLs without a query do as well.
    """
    match = _SPLIT_NAME.fullmatch(filename)
    if match is None:
        return [filename]
    n_parts = int(match["n_parts"])
    if not 1 <= int(match["part"]) <= n_parts <= MAX_PARTS:
        return [filename]
    return [f"{match['prefix']}-{part:05d}-of-{n_parts:05d}.gguf" for part in range(1, n_parts + 1)]
