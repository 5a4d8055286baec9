"""The pinned file is found and fetched the way pip would."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_support.errors import BuildError
from build_support.package_index import fetch
from build_support.progress import Progress
from tests.build_support.indexes import (
    HttpIndex,
    file_index,
    index_settings,
    pin_of,
    serving,
)

CONTENT = b"pinned content " * 50_000
PIN = pin_of(CONTENT)


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "html"])
def test_an_index_is_read_as_json_or_html(tmp_path: Path, as_json: bool) -> None:
    with serving(HttpIndex(PIN, CONTENT, as_json=as_json)) as index, Progress() as progress:
        fetch(PIN, tmp_path / "file", index_settings(index.url), progress)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_extra_indexes_are_asked_when_the_first_does_not_have_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with serving(HttpIndex(PIN, CONTENT)) as index, Progress() as progress:
        settings = index_settings((tmp_path / "empty").as_uri(), f"{index.url}/nothing", index.url)
        fetch(PIN, tmp_path / "file", settings, progress)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_link_directory_saves_the_network(tmp_path: Path) -> None:
    (tmp_path / PIN.filename).write_bytes(CONTENT)
    settings = index_settings("http://127.0.0.1:1/simple", find_links=(str(tmp_path),))
    with Progress() as progress:
        fetch(PIN, tmp_path / "file", settings, progress)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_cut_download_starts_again(tmp_path: Path) -> None:
    with serving(HttpIndex(PIN, CONTENT, n_cut_downloads=1)) as index, Progress() as progress:
        fetch(PIN, tmp_path / "file", index_settings(index.url), progress)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_is_busy_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    with serving(HttpIndex(PIN, CONTENT, n_refusals=1)) as index, Progress() as progress:
        fetch(PIN, tmp_path / "file", index_settings(index.url), progress)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_credentials_travel_in_a_header_and_never_into_messages(tmp_path: Path) -> None:
    with (
        serving(HttpIndex(PIN, CONTENT, announced_sha256="0" * 64)) as index,
        Progress() as progress,
    ):
        url = index.url.replace("://", "://user:secret@")
        with pytest.raises(BuildError, match="is not the pinned") as caught:
            fetch(PIN, tmp_path / "file", index_settings(url), progress)
    assert index.requests[0][1] == "Basic dXNlcjpzZWNyZXQ="
    assert "secret" not in str(caught.value)


def test_a_hash_that_the_index_announces_wrongly_saves_the_download(tmp_path: Path) -> None:
    with (
        serving(HttpIndex(PIN, CONTENT, announced_sha256="0" * 64)) as index,
        Progress() as progress,
        pytest.raises(BuildError, match="its SHA-256 is 0000"),
    ):
        fetch(PIN, tmp_path / "file", index_settings(index.url), progress)
    assert not (tmp_path / "file").exists()


def test_a_local_index_is_read_from_disk(tmp_path: Path) -> None:
    index = file_index(tmp_path / "index", PIN, CONTENT)
    with Progress() as progress:
        fetch(PIN, tmp_path / "file", index_settings(index), progress)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_without_any_index_the_message_says_so(tmp_path: Path) -> None:
    with Progress() as progress, pytest.raises(BuildError, match="without an index"):
        fetch(PIN, tmp_path / "file", index_settings(), progress)
