"""The compilers, CMake and Ninja of this machine, and what identifies them."""

from __future__ import annotations

import importlib
import os
import platform
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
    """Programs of a build; `identity` changes when their output may."""

    cmake: str
    ninja: str
    identity: str


def find_toolchain() -> Toolchain:
    """Raises BuildError for a missing compiler or tool."""
    cc = _compiler("CC", ("cc", "gcc", "clang"), "C")
    cxx = _compiler("CXX", ("c++", "g++", "clang++"), "C++")
    flags = [f"{name}={os.environ.get(name, '')}" for name in FLAG_VARIABLES]
    return Toolchain(
        cmake=_tool("cmake", "CMAKE_BIN_DIR"),
        ninja=_tool("ninja", "BIN_DIR"),
        identity=digest([cc, cxx, *flags, sys.platform, platform.machine()]),
    )


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


def _compiler(variable: str, names: tuple[str, ...], language: str) -> str:
    """The compiler's path and version, as a text."""
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
    return f"{shutil.which(command[0]) or command[0]} {command[1:]} {done.stdout}"


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
