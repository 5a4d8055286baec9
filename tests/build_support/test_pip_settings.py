"""pip's configuration is read with pip's own precedence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from build_support.pip_settings import read_pip_settings


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "pip.conf"
    file.write_text("")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    return file


def test_the_environment_wins_over_files(
    monkeypatch: pytest.MonkeyPatch, no_settings_of_this_machine: Path
) -> None:
    no_settings_of_this_machine.write_text(
        "[global]\nindex-url = http://files.test/simple\nproxy = http://proxy.test:3128\n"
        "extra-index-url =\n    http://one.test/simple\n    http://two.test/simple\n"
        "[install]\ntimeout = 7\n"
    )
    monkeypatch.setenv("PIP_INDEX_URL", "http://environment.test/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "one.test two.test:8080")
    settings = read_pip_settings()
    assert settings.index_urls == (
        "http://environment.test/simple",
        "http://one.test/simple",
        "http://two.test/simple",
    )
    assert settings.proxy == "http://proxy.test:3128"
    assert settings.trusted_hosts == {"one.test", "two.test:8080"}
    assert settings.timeout_s == 7


def test_pips_default_index_is_used_where_none_is_set() -> None:
    settings = read_pip_settings()
    assert len(settings.index_urls) == 1
    assert settings.index_urls[0].startswith("https://")


def test_no_index_leaves_only_the_links(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path}/a {tmp_path}/b")
    settings = read_pip_settings()
    assert settings.index_urls == ()
    assert settings.find_links == (f"{tmp_path}/a", f"{tmp_path}/b")
