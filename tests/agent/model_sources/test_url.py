"""Downloads from a server that misbehaves. Real sockets, real clock, bounded by deadlines."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
import trio

from paddler.agent.model_sources import errors
from paddler.agent.model_sources.cache import FileLock, cache_directory, disk_errors
from paddler.agent.model_sources.http_errors import error_while_asking
from paddler.agent.model_sources.url import DownloadLimits, UrlSource
from paddler.messages.link import Download
from tests.support.file_server import FileServer, Request, file_server, hang, head, serve, status

CONTENT = random.Random(5).randbytes(3_000_000)
LIMITS = DownloadLimits(max_bytes=10_000_000, timeout_s=0.5, lock_wait_s=0.5)
DEADLINE_S = 20


@pytest.fixture
async def server() -> AsyncGenerator[FileServer, None]:
    async with file_server() as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> UrlSource:
    return UrlSource(tmp_path, LIMITS)


async def fetch(source: UrlSource, url: str) -> tuple[Path, list[Download]]:
    reports: list[Download] = []
    with trio.fail_after(DEADLINE_S):
        return await source.fetch(url, reports.append), reports


async def failure(source: UrlSource, url: str) -> errors.ModelSourceError:
    with pytest.raises(errors.ModelSourceError) as raised:
        await fetch(source, url)
    return raised.value


def complete_files(directory: Path) -> list[Path]:
    return list(directory.glob("*.gguf"))


async def test_file_is_downloaded_once(server: FileServer, source: UrlSource) -> None:
    server.behaviours["/m.gguf"] = serve(CONTENT)
    path, reports = await fetch(source, server.url("/m.gguf"))
    assert path.read_bytes() == CONTENT
    assert path.suffix == ".gguf"
    assert "m" not in path.stem
    assert reports[0] == Download(
        filename="m.gguf", current_bytes=0, total_bytes=len(CONTENT), indeterminate=False
    )
    assert reports[-1].current_bytes == len(CONTENT)
    assert len(reports) >= 3
    again, reports = await fetch(source, server.url("/m.gguf"))
    assert again == path
    assert reports == []
    assert len(server.requests) == 1


async def test_length_that_is_not_told_is_indeterminate(
    server: FileServer, source: UrlSource
) -> None:
    async def behave(request: Request, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200) + CONTENT)

    server.behaviours["/m"] = behave
    path, reports = await fetch(source, server.url("/m"))
    assert path.read_bytes() == CONTENT
    assert all(report.indeterminate for report in reports)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (401, errors.DownloadServerDeniedAccess),
        (403, errors.DownloadServerDeniedAccess),
        (404, errors.ModelDoesNotExistAtUrl),
        (410, errors.ModelDoesNotExistAtUrl),
        (400, errors.DownloadServerRejectedRequest),
        (416, errors.DownloadServerRejectedRequest),
        (429, errors.DownloadServerRejectedRequest),
        (206, errors.DownloadServerRejectedRequest),
        (204, errors.DownloadServerRejectedRequest),
        (500, errors.DownloadServerErrored),
        (503, errors.DownloadServerErrored),
    ],
)
async def test_status_says_what_is_wrong(
    server: FileServer, source: UrlSource, code: int, expected: type[Exception]
) -> None:
    server.behaviours["/m"] = status(code)
    error = await failure(source, server.url("/m"))
    assert type(error) is expected
    assert str(code) in str(error)


async def test_cut_off_download_continues_where_it_ended(
    server: FileServer, source: UrlSource
) -> None:
    server.behaviours["/m"] = serve(CONTENT, cut_after=1_500_000)
    assert type(await failure(source, server.url("/m"))) is errors.DownloadInterrupted
    server.behaviours["/m"] = serve(CONTENT)
    path, reports = await fetch(source, server.url("/m"))
    assert path.read_bytes() == CONTENT
    assert server.requests[-1].headers["range"] == "bytes=1500000-"
    assert server.requests[-1].headers["if-range"] == '"v1"'
    assert reports[0].current_bytes == 1_500_000


async def test_file_that_changed_meanwhile_is_taken_from_the_start(
    server: FileServer, source: UrlSource
) -> None:
    server.behaviours["/m"] = serve(b"x" * 3_000_000, cut_after=2_000_000)
    await failure(source, server.url("/m"))
    server.behaviours["/m"] = serve(CONTENT, etag='"v2"')
    path, _ = await fetch(source, server.url("/m"))
    assert path.read_bytes() == CONTENT


async def test_file_that_shrank_meanwhile_is_taken_from_the_start(
    server: FileServer, source: UrlSource
) -> None:
    server.behaviours["/m"] = serve(b"x" * 3_000_000, cut_after=2_000_000)
    await failure(source, server.url("/m"))
    server.behaviours["/m"] = serve(b"short")
    path, _ = await fetch(source, server.url("/m"))
    assert path.read_bytes() == b"short"


async def test_without_a_validator_nothing_is_continued(
    server: FileServer, source: UrlSource
) -> None:
    server.behaviours["/m"] = serve(CONTENT, etag=None, cut_after=100_000)
    await failure(source, server.url("/m"))
    server.behaviours["/m"] = serve(CONTENT, etag=None)
    path, _ = await fetch(source, server.url("/m"))
    assert path.read_bytes() == CONTENT
    assert "range" not in server.requests[-1].headers


async def test_server_that_answers_with_another_range_is_asked_for_all(
    server: FileServer, source: UrlSource
) -> None:
    server.behaviours["/m"] = serve(CONTENT, cut_after=100_000)
    await failure(source, server.url("/m"))
    proper = serve(CONTENT)

    async def behave(request: Request, stream: trio.SocketStream) -> None:
        if "range" in request.headers:
            wrong = f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}"
            n_bytes = len(CONTENT) - 7
            await stream.send_all(head(206, Content_Range=wrong, Content_Length=n_bytes))
        else:
            await proper(request, stream)

    server.behaviours["/m"] = behave
    path, _ = await fetch(source, server.url("/m"))
    assert path.read_bytes() == CONTENT


async def test_server_that_lies_about_the_size_is_not_believed(
    server: FileServer, source: UrlSource, tmp_path: Path
) -> None:
    async def too_short(request: Request, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200, Content_Length=len(CONTENT) + 1, ETag='"v"') + CONTENT)

    server.behaviours["/m"] = too_short
    for _ in range(2):
        assert type(await failure(source, server.url("/m"))) is errors.DownloadInterrupted
    assert complete_files(tmp_path) == []

    async def wrong_total(request: Request, stream: trio.SocketStream) -> None:
        await stream.send_all(
            head(206, Content_Range=f"bytes 3000000-3000009/{len(CONTENT) + 50}", Content_Length=10)
            + b"x" * 10
        )

    server.behaviours["/m"] = wrong_total
    assert type(await failure(source, server.url("/m"))) is errors.DownloadInterrupted
    assert complete_files(tmp_path) == []


async def test_file_above_the_limit_is_not_taken(server: FileServer, tmp_path: Path) -> None:
    limits = DownloadLimits(max_bytes=1_000_000, timeout_s=0.5, lock_wait_s=0.5)
    server.behaviours["/told"] = serve(CONTENT)

    async def endless(request: Request, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200))
        while True:
            await stream.send_all(b"x" * 65536)

    server.behaviours["/untold"] = endless
    for target in ("/told", "/untold"):
        error = await failure(UrlSource(tmp_path, limits), server.url(target))
        assert type(error) is errors.DownloadServerRejectedRequest
        assert "1000000" in str(error)


async def test_file_that_does_not_fit_the_disk_is_not_begun(
    server: FileServer, source: UrlSource, tmp_path: Path
) -> None:
    limits = DownloadLimits(max_bytes=2**62, timeout_s=0.5, lock_wait_s=0.5)

    async def huge(request: Request, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200, Content_Length=2**61))

    server.behaviours["/m"] = huge
    error = await failure(UrlSource(tmp_path, limits), server.url("/m"))
    assert type(error) is errors.CacheStorageIsFull


async def test_server_that_hangs_is_unreachable(server: FileServer, source: UrlSource) -> None:
    server.behaviours["/m"] = hang
    assert type(await failure(source, server.url("/m"))) is errors.DownloadServerIsUnreachable


async def test_server_that_stalls_is_an_interruption(server: FileServer, source: UrlSource) -> None:
    async def stall(request: Request, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200, Content_Length=1000, ETag='"v"') + b"x" * 10)
        await trio.sleep_forever()

    server.behaviours["/m"] = stall
    error = await failure(source, server.url("/m"))
    assert type(error) is errors.DownloadInterrupted
    assert "10 bytes" in str(error)


async def test_server_that_closes_without_an_answer_is_an_interruption(
    server: FileServer, source: UrlSource
) -> None:
    async def close(request: Request, stream: trio.SocketStream) -> None:
        pass

    server.behaviours["/m"] = close
    assert type(await failure(source, server.url("/m"))) is errors.DownloadInterrupted


async def test_server_that_is_not_there_is_unreachable(source: UrlSource) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    error = await failure(source, f"http://127.0.0.1:{port}/m")
    assert type(error) is errors.DownloadServerIsUnreachable
    error = await failure(source, "http://no-such-host.invalid/m")
    assert type(error) is errors.DownloadServerIsUnreachable


async def test_redirects_are_followed_to_the_file(server: FileServer, source: UrlSource) -> None:
    server.behaviours["/a"] = status(302, Location="/b")
    server.behaviours["/b"] = status(307, Location=server.url("/c"))
    server.behaviours["/c"] = serve(CONTENT)
    path, _ = await fetch(source, server.url("/a"))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/m", "", "http://", "/a"])
async def test_redirects_elsewhere_are_not_followed(
    server: FileServer, source: UrlSource, target: str
) -> None:
    server.behaviours["/a"] = status(302, Location=target)
    error = await failure(source, server.url("/a"))
    assert type(error) is errors.DownloadServerRejectedRequest


@pytest.mark.parametrize(
    "url", ["", "m.gguf", "/m.gguf", "file:///m.gguf", "ftp://host/m", "http://", "http://[/m"]
)
async def test_what_is_no_url_is_malformed_for_good(source: UrlSource, url: str) -> None:
    error = await failure(source, url)
    assert type(error) is errors.DownloadUrlIsMalformed
    assert not error.retryable


async def test_encoded_answer_is_not_taken_for_the_file(
    server: FileServer, source: UrlSource
) -> None:
    server.behaviours["/m"] = status(200, Content_Encoding="gzip")
    error = await failure(source, server.url("/m"))
    assert type(error) is errors.DownloadServerRejectedRequest


async def test_split_model_comes_with_all_its_parts(server: FileServer, source: UrlSource) -> None:
    for part in range(1, 4):
        server.behaviours[f"/m-{part:05d}-of-00003.gguf?x=1"] = serve(b"part%d" % part)
    path, _ = await fetch(source, server.url("/m-00001-of-00003.gguf?x=1"))
    assert path.name.endswith("-00001-of-00003.gguf")
    prefix = path.name.removesuffix("-00001-of-00003.gguf")
    contents = [
        path.with_name(f"{prefix}-{part:05d}-of-00003.gguf").read_bytes() for part in (1, 2, 3)
    ]
    assert contents == [b"part1", b"part2", b"part3"]


async def test_file_somebody_else_downloads_is_waited_for(
    server: FileServer, source: UrlSource, tmp_path: Path
) -> None:
    server.behaviours["/m"] = serve(CONTENT)
    path, _ = await fetch(source, server.url("/m"))
    path.unlink()
    async with FileLock(path.with_name(f"{path.name}.lock"), wait_s=0):
        error = await failure(source, server.url("/m"))
        assert type(error) is errors.CacheCannotAcquireLock
        assert error.patient
    again, _ = await fetch(source, server.url("/m"))
    assert again.read_bytes() == CONTENT


async def test_two_downloads_of_one_file_are_one(server: FileServer, tmp_path: Path) -> None:
    limits = DownloadLimits(max_bytes=10_000_000, timeout_s=5, lock_wait_s=10)
    server.behaviours["/m"] = serve(CONTENT)
    paths: list[Path] = []

    async def one() -> None:
        path, _ = await fetch(UrlSource(tmp_path, limits), server.url("/m"))
        paths.append(path)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(one)
    assert len(set(paths)) == 1
    assert len(server.requests) == 1


async def test_cancelled_download_is_continued(server: FileServer, source: UrlSource) -> None:
    async def drip(request: Request, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200, Content_Length=len(CONTENT), ETag='"v1"'))
        await stream.send_all(CONTENT[:2_900_000])
        await trio.sleep_forever()

    server.behaviours["/m"] = drip
    with trio.CancelScope() as scope:

        def report(download: Download) -> None:
            if download.current_bytes >= 1_000_000:
                scope.cancel()

        await source.fetch(server.url("/m"), report)
    assert scope.cancelled_caught
    server.behaviours["/m"] = serve(CONTENT)
    path, reports = await fetch(source, server.url("/m"))
    assert path.read_bytes() == CONTENT
    assert reports[0].current_bytes >= 1_000_000


async def test_corrupted_file_is_reported_once_and_fetched_again(
    server: FileServer, source: UrlSource
) -> None:
    server.behaviours["/m"] = serve(CONTENT)
    path, _ = await fetch(source, server.url("/m"))
    os.truncate(path, 100)
    assert type(await failure(source, server.url("/m"))) is errors.ModelCacheIsCorrupted
    path, _ = await fetch(source, server.url("/m"))
    assert path.read_bytes() == CONTENT


async def test_cache_that_cannot_be_written_says_so(server: FileServer, tmp_path: Path) -> None:
    server.behaviours["/m"] = serve(CONTENT)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    error = await failure(UrlSource(in_the_way / "cache", LIMITS), server.url("/m"))
    assert type(error) is errors.CacheDirectoryIsNotWritable


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, errors.CacheStorageIsFull),
        (errno.EDQUOT, errors.CacheStorageIsFull),
        (errno.EACCES, errors.CacheDirectoryIsNotWritable),
        (errno.EROFS, errors.CacheDirectoryIsNotWritable),
    ],
)
def test_what_the_disk_says_is_translated(number: int, expected: type[Exception]) -> None:
    with pytest.raises(expected), disk_errors(Path("/cache/m")):
        raise OSError(number, os.strerror(number))


def test_every_error_of_httpx_has_a_meaning() -> None:
    def tree(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(tree(child) for child in kind.__subclasses__()))

    for kind in tree(httpx.HTTPError) | {httpx.InvalidURL}:
        error = kind.__new__(kind)
        Exception.__init__(error, "text")
        assert isinstance(error, (httpx.HTTPError, httpx.InvalidURL))
        assert isinstance(error_while_asking(error, "host"), errors.ModelSourceError)


def test_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PADDLER_CACHE_DIR", str(tmp_path / "env"))
    assert cache_directory(tmp_path / "own") == tmp_path / "own" / "downloaded-models"
    assert cache_directory(None) == tmp_path / "env" / "downloaded-models"
    monkeypatch.delenv("PADDLER_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory(None).parent.name == "paddler"
