"""Builds with CMake and Ninja in trees that live in the cache.

One tree per llama.cpp source, set of flags and compiler holds llama.cpp's
libraries; the shim is mirrored into it and compiled beside them. Finished
extensions are kept apart, named by that tree and the shim's content, so that
a second clone of the same state compiles nothing.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cffi

from cffi_build import write_module_source

from .cache import (
    cache_root,
    digest,
    locked,
    mark_used,
    mirror,
    prune,
    replaced_directory,
    tree_digest,
)
from .errors import BuildError, disk_errors, disk_full
from .pin import read_pin
from .source import LlamaSource, obtain_source
from .toolchain import Toolchain, cpu_identity, find_toolchain, jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .progress import Progress

# A build tree with its objects and libraries.
NEEDED_BYTES = 500 << 20
NINJA_PROGRESS = re.compile(r"\[(\d+)/(\d+)\] (.*)")
SHOWN_LINES = 60
# Ten megabytes each.
KEPT_EXTENSIONS = 16
# What a portable build expects of an x86-64 processor: the level v3.
PORTABLE_X86 = ("GGML_SSE42", "GGML_AVX", "GGML_AVX2", "GGML_BMI2", "GGML_FMA", "GGML_F16C")
# Changes when trees of older versions of this module cannot be used any more.
TREE_FORMAT = "1"


@dataclass(frozen=True, kw_only=True)
class NativeBuild:
    """One checkout of Paddler, one llama.cpp, one toolchain, one set of flags."""

    root: Path
    source: LlamaSource
    toolchain: Toolchain
    cmake_arguments: tuple[str, ...]
    tree: Path

    def configure_and_build(self, targets: list[tuple[str, str]], progress: Progress) -> None:
        """Builds (title, target) one after another; the tree's lock must be held."""
        native = self.root / "native"
        tests = self.root / "tests" / "native"
        log = self.tree / "build.log"
        with disk_errors(self.tree):
            mirror(native, self.tree / "native")
            if tests.is_dir():
                mirror(tests, self.tree / "tests")
            (self.tree / "generated").mkdir(exist_ok=True)
            module_source = self.tree / "generated" / "_native.c"
            write_module_source(native / "include", module_source)
            log.write_text("")
        out = self.tree / "out"
        values = {
            "CMAKE_MAKE_PROGRAM": self.toolchain.ninja,
            "PADDLER_LLAMA_CPP_DIR": str(self.source.path),
            "PADDLER_LLAMA_CPP_VERSION": self.source.version,
            "PADDLER_MODULE_SOURCE": str(module_source),
            "PADDLER_MODULE_SUFFIX": module_suffix(),
            "PADDLER_PYTHON_INCLUDE": sysconfig.get_path("include"),
            "PADDLER_NATIVE_TESTS_DIR": str(self.tree / "tests") if tests.is_dir() else "",
        }
        command = [self.toolchain.cmake, "-G", "Ninja", "-S", str(self.tree / "native")]
        command += ["-B", str(out), *self.cmake_arguments]
        command += [f"-D{name}={value}" for name, value in values.items()]
        progress.step("Configuring")
        self._run(command, "Configuring the native build", log, progress)
        for title, target in targets:
            progress.step(title)
            ninja = [self.toolchain.ninja, "-C", str(out), "-j", str(jobs()), target]
            self._run(ninja, title, log, progress)

    def _run(self, command: list[str], title: str, log: Path, progress: Progress) -> None:
        """Runs one program, shows its progress, and its messages if it fails."""
        messages: list[str] = []
        environment = dict(os.environ, NINJA_STATUS="[%f/%t] ", CLICOLOR_FORCE="0")
        for variable in ("CFLAGS", "CXXFLAGS"):
            flags = (*self.toolchain.workarounds, os.environ.get(variable, ""))
            environment[variable] = " ".join(flags).strip()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
        )
        with process, log.open("a") as log_file:
            assert process.stdout is not None  # it is a pipe
            for raw in process.stdout:
                line = raw.rstrip().replace(str(self.tree / "native"), str(self.root / "native"))
                line = line.replace(str(self.tree / "tests"), str(self.root / "tests" / "native"))
                log_file.write(line + "\n")
                found = NINJA_PROGRESS.match(line)
                if found and found[1] != "0":
                    detail = found[3].rpartition("/")[2]
                    progress.at(int(found[1]), int(found[2]), detail)
                elif not found and "ninja: " not in line:
                    messages.append(line)
        if process.returncode == 0:
            return
        if any("No space left on device" in line for line in messages):
            raise disk_full(self.tree)
        progress.note(f"{title} failed:\n" + "\n".join(_telling(messages)))
        raise BuildError(f"{title} failed; the messages are above, all of them in {log}.")


@contextmanager
def prepared(build: NativeBuild, progress: Progress) -> Iterator[None]:
    """Holds the lock of the build's tree, which exists from then on; raises BuildError."""
    with locked(build.tree, progress):
        with disk_errors(build.tree):
            build.tree.mkdir(exist_ok=True)
        if not (build.tree / "out").is_dir():
            free = shutil.disk_usage(build.tree).free
            if free < NEEDED_BYTES:
                raise disk_full(build.tree)
        yield


def plan(root: Path, progress: Progress, *, peers: bool = False) -> NativeBuild:
    """Finds compiler and source; builds nothing yet.

    `peers` plans a tree of its own for what benchmarks compare with, so that
    their long build never keeps the extension's waiting.
    """
    toolchain = find_toolchain()
    source = obtain_source(read_pin(root / "native" / "llama_cpp.lock"), progress)
    portable = os.environ.get("PADDLER_PORTABLE", "") not in ("", "0")
    arguments = cmake_arguments(portable=portable, peers=peers, version=source.version)
    where = str(source.path) if source.version.startswith("unpinned") else source.digest
    cpu = "portable" if portable else cpu_identity()
    key = digest([TREE_FORMAT, where, toolchain.identity, cpu, *arguments])
    return NativeBuild(
        root=root,
        source=source,
        toolchain=toolchain,
        cmake_arguments=arguments,
        tree=cache_root() / "trees" / key,
    )


def build_extension(root: Path, progress: Progress) -> Path:
    """The finished cffi module, out of the cache or newly built; raises BuildError."""
    build = plan(root, progress)
    native_digest = tree_digest(root / "native", skip=frozenset({"build_support"}))
    key = digest(
        [build.tree.name, build.source.digest, native_digest, module_suffix(), cffi.__version__]
    )
    finished = cache_root() / "extensions" / key
    name = f"_native{module_suffix()}"
    if not finished.is_dir():
        with prepared(build, progress):
            targets = [("Compiling llama.cpp", "llama_libraries")]
            targets += [("Compiling Paddler's engine", "paddler_module")]
            build.configure_and_build(targets, progress)
            _check_that_nothing_is_missing(build.tree / "out" / name)
            with replaced_directory(finished) as fresh:
                shutil.copy2(build.tree / "out" / name, fresh / name)
            prune(finished.parent, KEPT_EXTENSIONS)
        progress.note(f"the native engine is built (llama.cpp {build.source.version})")
    mark_used(finished)
    return finished / name


def _check_that_nothing_is_missing(module: Path) -> None:
    """A function that is declared and not defined is found when a module is loaded.

    Other reasons not to load are none of ours: a GPU's driver may be missing
    where a wheel is built.
    """
    load = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW)"
    done = subprocess.run(
        [sys.executable, "-c", load, str(module)], capture_output=True, text=True, check=False
    )
    missing = re.search(r"undefined symbol: (pdl_\w+)", done.stderr)
    if missing:
        raise BuildError(f"{missing[1]} is declared in native/include and defined nowhere.")


def build_native_tests(root: Path, sanitizer: str, progress: Progress) -> list[Path]:
    """The C++ test programs under a sanitizer, "address" or "thread"; raises BuildError."""
    build = plan(root, progress)
    with prepared(build, progress):
        targets = [("Compiling llama.cpp", "llama_libraries")]
        targets += [(f"Compiling tests ({sanitizer})", f"native_tests_{sanitizer}")]
        build.configure_and_build(targets, progress)
        names = sorted(path.stem for path in (root / "tests" / "native").glob("*.cpp"))
        return [build.tree / "out" / "native_tests" / sanitizer / name for name in names]


def build_peers(root: Path, progress: Progress) -> Path:
    """llama-server and llama-bench of the same source and flags; returns their directory."""
    build = plan(root, progress, peers=True)
    with prepared(build, progress):
        targets = [(f"Compiling {name}", name) for name in ("llama-server", "llama-bench")]
        build.configure_and_build(targets, progress)
        return build.tree / "out" / "bin"


def module_suffix() -> str:
    """cffi's modules keep to the stable ABI wherever CPython offers one."""
    if sysconfig.get_config_var("Py_GIL_DISABLED") or sysconfig.get_config_var("Py_DEBUG"):
        return str(sysconfig.get_config_var("EXT_SUFFIX"))
    return ".abi3.so"


def cmake_arguments(*, portable: bool, peers: bool, version: str) -> tuple[str, ...]:
    """What CMake is told: part of a tree's identity. The user's own arguments come last."""
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "BUILD_SHARED_LIBS": "OFF",
        "GGML_NATIVE": "OFF" if portable else "ON",
        "GGML_OPENMP": "OFF",
        "GGML_CCACHE": "OFF",
        "LLAMA_BUILD_COMMON": "ON",
        "LLAMA_BUILD_MTMD": "ON",
        **({"LLAMA_BUILD_TOOLS": "ON", "LLAMA_BUILD_SERVER": "ON"} if peers else {}),
        "LLAMA_BUILD_TESTS": "OFF",
        "LLAMA_BUILD_EXAMPLES": "OFF",
        "LLAMA_BUILD_APP": "OFF",
        "LLAMA_BUILD_UI": "OFF",
        "LLAMA_USE_PREBUILT_UI": "OFF",
        "LLAMA_OPENSSL": "OFF",
        "LLAMA_SUBPROCESS": "OFF",
        "LLAMA_BUILD_NUMBER": "0",
        "LLAMA_BUILD_COMMIT": version.replace(" ", "-"),
    }
    if portable:
        # Said aloud: without a default of its own ggml goes down to SSE2, as
        # it does where SOURCE_DATE_EPOCH is set.
        options |= dict.fromkeys(PORTABLE_X86 if _is_x86() else (), "ON")
    if sys.platform == "darwin":
        options["GGML_METAL_EMBED_LIBRARY"] = "ON"
    ours = [f"-D{name}={value}" for name, value in options.items()]
    return (*ours, *shlex.split(os.environ.get("PADDLER_CMAKE_ARGS", "")))


def _is_x86() -> bool:
    return platform.machine().lower() in {"x86_64", "amd64"}


def _telling(messages: list[str]) -> list[str]:
    """The part of the output that tells why it failed."""
    starts = [index for index, line in enumerate(messages) if "FAILED:" in line]
    starts += [index for index, line in enumerate(messages) if "CMake Error" in line]
    first = min(starts, default=max(0, len(messages) - SHOWN_LINES))
    return messages[first : first + SHOWN_LINES]
