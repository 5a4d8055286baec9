"""What is known of compilers' faults ends up in the flags of a build."""

from __future__ import annotations

import pytest

from build_support.toolchain import find_toolchain, workarounds_for


@pytest.mark.parametrize("major", ["11", "12", "13"])
def test_a_gcc_that_drops_the_tile_configuration_builds_without_amx(major: str) -> None:
    assert "-mno-amx-tile" in workarounds_for({"__GNUC__": major}, "x86_64")


@pytest.mark.parametrize(
    ("macros", "machine"),
    [
        ({"__GNUC__": "14"}, "x86_64"),
        ({"__GNUC__": "4", "__clang__": "1"}, "x86_64"),
        ({"__GNUC__": "12"}, "aarch64"),
        ({"__GNUC__": "10"}, "x86_64"),  # knows neither AMX nor these flags
        ({}, "x86_64"),
    ],
)
def test_other_compilers_get_no_workaround(macros: dict[str, str], machine: str) -> None:
    assert workarounds_for(macros, machine) == ()


def test_workarounds_are_part_of_what_identifies_a_toolchain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("build_support.toolchain.workarounds_for", lambda *_: ())
    without = find_toolchain()
    monkeypatch.setattr("build_support.toolchain.workarounds_for", lambda *_: ("-O1",))
    assert find_toolchain().identity != without.identity
    assert find_toolchain().workarounds == ("-O1",)
