"""A machine without npm builds everything but the panel, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_support.errors import BuildError
from build_support.panel_build import build_panel
from build_support.progress import Progress

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def nothing_but_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLER_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "1")


def test_without_npm_the_panel_is_left_out_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        assert build_panel(ROOT, progress) is None
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "admin panel is left out: npm is not installed" in told[0]


def test_a_release_may_demand_the_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLER_PANEL", "required")
    with Progress() as progress, pytest.raises(BuildError, match="npm is not installed"):
        build_panel(ROOT, progress)


def test_the_panel_may_be_left_out_on_purpose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PADDLER_PANEL", "skip")
    with Progress() as progress:
        assert build_panel(ROOT, progress) is None
    assert "as PADDLER_PANEL says" in capsys.readouterr().err


def test_a_choice_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLER_PANEL", "maybe")
    with Progress() as progress, pytest.raises(BuildError, match="auto, required or skip"):
        build_panel(ROOT, progress)


def test_the_lock_file_names_no_registry() -> None:
    frontend = ROOT / "paddler" / "balancer" / "admin_panel" / "frontend"
    lock = (frontend / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
