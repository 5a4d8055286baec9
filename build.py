"""Builds the native extension and the admin panel.

hatchling's build hook, and a program for the Makefile:

    python build.py extension         builds it and puts it into this checkout
    python build.py panel             the same for the admin panel, which needs npm
    python build.py tests address     C++ test programs under a sanitizer; prints their paths
    python build.py peers             llama-server, to compare with; prints the directory
    python build.py source            prints where llama.cpp's source is
    python build.py tidy              clang-tidy over native code that changed since it was clean

What is built, where it is kept and which variables change it: docs/building.md.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "native"))

from build_support.errors import BuildError  # noqa: E402 - found through the line above
from build_support.native_build import (  # noqa: E402
    build_extension,
    build_native_tests,
    build_peers,
    module_suffix,
    plan,
)
from build_support.panel_build import ASSETS, build_panel, place_panel  # noqa: E402
from build_support.pin import read_pin  # noqa: E402
from build_support.progress import Progress  # noqa: E402
from build_support.source import obtain_source  # noqa: E402
from build_support.tidy import tidy  # noqa: E402

PACKAGE = ROOT / "paddler" / "engine"


class CustomBuildHook(BuildHookInterface[BuilderConfig]):
    """Adds what is built to a wheel; an editable install gets it into the checkout."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds, or takes the result from the cache. A failure ends the process."""
        if self.target_name != "wheel":
            return
        try:
            with Progress() as progress:
                extension = build_extension(ROOT, progress)
                panel = build_panel(ROOT, progress)
        except BuildError as error:
            raise SystemExit(f"error: {error}") from error
        if version == "editable":
            place(extension)
            if panel is not None:
                place_panel(ROOT, panel)
        else:
            build_data["force_include"][str(extension)] = f"paddler/engine/{extension.name}"
            if panel is not None:
                build_data["force_include"][str(panel)] = ASSETS.as_posix()
        build_data["pure_python"] = False
        build_data["tag"] = wheel_tag()


def place(extension: Path) -> Path:
    """Puts the extension beside the module that imports it, replacing older ones."""
    target = PACKAGE / extension.name
    for stale in PACKAGE.glob("_native*.so"):
        if stale != target:
            stale.unlink()
    # A running process keeps the file it has mapped: replace, never overwrite.
    fresh = target.with_name(f".{extension.name}.{os.getpid()}")
    shutil.copy2(extension, fresh)
    fresh.replace(target)
    return target


def wheel_tag() -> str:
    """One wheel for every CPython from 3.11 on, where the stable ABI allows it."""
    machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if module_suffix() == ".abi3.so":
        return f"cp311-abi3-{machine}"
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{python}-{python}{sys.abiflags}-{machine}"


def main(arguments: list[str]) -> int:
    """The program of the module's docstring; returns its exit code."""
    try:
        with Progress() as progress:
            match arguments:
                case ["extension"]:
                    print(place(build_extension(ROOT, progress)))
                case ["panel"]:
                    panel = build_panel(ROOT, progress)
                    print(place_panel(ROOT, panel) if panel is not None else "")
                case ["tests", ("address" | "thread") as sanitizer]:
                    for program in build_native_tests(ROOT, sanitizer, progress):
                        print(program)
                case ["peers"]:
                    print(build_peers(ROOT, progress))
                case ["source"]:
                    print(plan(ROOT, progress).source.path)
                case ["tidy"]:
                    pin = read_pin(ROOT / "native" / "llama_cpp.lock")
                    tidy(ROOT, obtain_source(pin, progress), progress)
                case _:
                    print(__doc__, file=sys.stderr)
                    return 2
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; the next build goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
