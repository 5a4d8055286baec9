"""What CMake is told."""

from __future__ import annotations

import platform

import pytest

from build_support.native_build import cmake_arguments


def arguments(*, portable: bool) -> tuple[str, ...]:
    return cmake_arguments(portable=portable, peers=False, version="1")


def test_a_local_build_is_for_this_processor() -> None:
    assert "-DGGML_NATIVE=ON" in arguments(portable=False)


@pytest.mark.parametrize(
    ("machine", "has_avx2"), [("x86_64", True), ("AMD64", True), ("aarch64", False)]
)
def test_a_portable_build_names_every_instruction_set_it_uses(
    monkeypatch: pytest.MonkeyPatch, machine: str, has_avx2: bool
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    found = arguments(portable=True)
    assert "-DGGML_NATIVE=OFF" in found
    assert ("-DGGML_AVX2=ON" in found) == has_avx2
    assert not [argument for argument in found if "AVX512" in argument]


def test_the_users_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLER_CMAKE_ARGS", "-DGGML_AVX2=OFF '-DCMAKE_C_FLAGS=-O2 -g'")
    assert arguments(portable=True)[-2:] == ("-DGGML_AVX2=OFF", "-DCMAKE_C_FLAGS=-O2 -g")
