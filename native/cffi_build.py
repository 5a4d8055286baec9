"""Source of the cffi module `paddler.engine._native`.

The declarations are the parts of native/include/*.h between the comments
`cffi:begin` and `cffi:end`; a C compiler checks them against the headers
themselves, so the two cannot drift apart.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from cffi import FFI

if TYPE_CHECKING:
    from pathlib import Path

MODULE_NAME = "paddler.engine._native"
# Others use its types.
FIRST_HEADER = "paddler_engine.h"
BEGIN = "/* cffi:begin */"
END = "/* cffi:end */"


def headers(include_dir: Path) -> list[Path]:
    """The headers in the order in which their declarations build on each other."""
    return sorted(include_dir.glob("*.h"), key=lambda path: (path.name != FIRST_HEADER, path.name))


def declarations(header: Path) -> str:
    """What cffi is told of one header; raises ValueError if a marker is missing."""
    _, begin, rest = header.read_text(encoding="utf-8").partition(BEGIN)
    text, end, _ = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{header} has no part between {BEGIN} and {END}")
    return text


def write_module_source(include_dir: Path, output: Path) -> None:
    """Writes the module's C source, leaving the file alone if it is the same already.

    Standard output stays clean: what build.py prints there is its result.
    """
    ffi = FFI()
    found = headers(include_dir)
    for header in found:
        ffi.cdef(declarations(header))
    includes = "".join(f'#include "{header.name}"\n' for header in found)
    ffi.set_source(MODULE_NAME, includes)
    with contextlib.redirect_stdout(io.StringIO()):
        ffi.emit_c_code(str(output))
