"""The compilers, CMake and Ninja of this machine, and what identifies them."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .cache import digest
from .errors import BuildError

FLAG_VARIABLES = (
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "CUDAFLAGS",
    "MACOSX_DEPLOYMENT_TARGET",
)


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """Programs of a build; `identity` changes when their output may.

    `workarounds` are flags for the compilers, in front of everybody else's.
    """

    cmake: str
    ninja: str
    workarounds: tuple[str, ...]
    identity: str


def find_toolchain() -> Toolchain:
    """Raises BuildError for a missing compiler or tool."""
    cc = _compiler("CC", ("cc", "gcc", "clang"), "C")
    cxx = _compiler("CXX", ("c++", "g++", "clang++"), "C++")
    flags = [f"{name}={os.environ.get(name, '')}" for name in FLAG_VARIABLES]
    workarounds = workarounds_for(cxx.macros, platform.machine())
    return Toolchain(
        cmake=_tool("cmake", "CMAKE_BIN_DIR"),
        ninja=_tool("ninja", "BIN_DIR"),
        workarounds=workarounds,
        identity=digest(
            [cc.identity, cxx.identity, *flags, *workarounds, sys.platform, platform.machine()]
        ),
    )


def workarounds_for(macros: dict[str, str], machine: str) -> tuple[str, ...]:
    """Flags against what a compiler is known to get wrong; `macros` are those it predefines.

    GCC before 14 takes the configuration that `_tile_loadconfig` loads for 8
    bytes and drops the stores to the other 56 (GCC bug 114098): llama.cpp's AMX
    kernels then end the process with an illegal instruction. Without AMX it
    uses AVX-512.
    """
    is_gcc = "__GNUC__" in macros and "__clang__" not in macros
    if is_gcc and machine in ("x86_64", "AMD64") and 11 <= int(macros["__GNUC__"]) < 14:
        return ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")
    return ()


def jobs() -> int:
    """How many compilers, or the like, run at once."""
    chosen = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_identity() -> str:
    """What a build for this very processor depends on."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        wanted = ("flags", "Features", "model name", "CPU part", "CPU implementer")
        return digest(sorted({line for line in lines if line.startswith(wanted)}))
    if sys.platform == "darwin":
        done = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=False,
        )
        return digest([done.stdout])
    return platform.processor()


@dataclass(frozen=True, kw_only=True)
class _Compiler:
    identity: str
    """Path and version."""
    macros: dict[str, str]
    """What it predefines."""


def _compiler(variable: str, names: tuple[str, ...], language: str) -> _Compiler:
    """Raises BuildError if there is none, or it does not answer."""
    chosen = os.environ.get(variable)
    command = shlex.split(chosen) if chosen else []
    if not command:
        command = [path for name in names if (path := shutil.which(name))][:1]
    wanted = f"{variable}={chosen}" if chosen else ", ".join(names)
    missing = BuildError(
        f"Paddler needs a {language} compiler and found none ({wanted}): install one "
        "(Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select "
        "--install)."
    )
    if not command:
        raise missing
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise missing from error
    return _Compiler(
        identity=f"{shutil.which(command[0]) or command[0]} {command[1:]} {done.stdout}",
        macros=_predefined_macros(command),
    )


def _predefined_macros(command: list[str]) -> dict[str, str]:
    """Empty for a compiler that has no such listing: none that we know faults of."""
    listing = [*command, "-dM", "-E", "-x", "c", os.devnull]
    done = subprocess.run(listing, capture_output=True, text=True, check=False)
    return dict(re.findall(r"^#define (\S+) (.*)$", done.stdout, re.MULTILINE))


def _tool(name: str, directory_attribute: str) -> str:
    """The program that PyPI's package of that name brings, else the system's."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        module = None
    directory = getattr(module, directory_attribute, None)
    found = shutil.which(name, path=str(directory)) if directory else shutil.which(name)
    if found is None:
        raise BuildError(f"The build needs {name}: pip install {name}.")
    return found
