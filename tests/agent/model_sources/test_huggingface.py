"""Models from a stand-in for the hub. Real sockets, threads and clock."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import random
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import trio
from huggingface_hub import constants
from huggingface_hub import errors as hub

from paddler.agent.model_sources import errors
from paddler.agent.model_sources.huggingface import HuggingFaceSource
from paddler.agent.model_sources.huggingface_errors import error_of_hub
from paddler.messages.link import Download
from paddler.messages.state import HuggingFaceModel
from tests.support.file_server import Behaviour, FileServer, Request, file_server, head, status

COMMIT = "0123456789012345678901234567890123456789"
CONTENT = random.Random(6).randbytes(300_000)
MODEL = HuggingFaceModel("org/repo", "m.gguf", "main")
TARGET = "/org/repo/resolve/main/m.gguf"
DEADLINE_S = 30


def etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hub_file(content: bytes, *, stall_after: int | None = None) -> Behaviour:
    """A file as the hub serves it."""
    identity = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag(content)}"'}

    async def behave(request: Request, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200, Content_Length=len(content), **identity))
        if request.method == "GET":
            await stream.send_all(content[:stall_after])
            if stall_after is not None:
                await trio.sleep_forever()

    return behave


@pytest.fixture
async def server() -> AsyncGenerator[FileServer, None]:
    async with file_server() as running:
        yield running


@pytest.fixture
def source(server: FileServer, tmp_path: Path) -> HuggingFaceSource:
    return HuggingFaceSource(endpoint=server.url(""), cache_dir=tmp_path)


async def fetch(
    source: HuggingFaceSource, model: HuggingFaceModel = MODEL
) -> tuple[Path, list[Download]]:
    reports: list[Download] = []
    with trio.fail_after(DEADLINE_S):
        return await source.fetch(model, reports.append), reports


async def failure(
    source: HuggingFaceSource, model: HuggingFaceModel = MODEL
) -> errors.ModelSourceError:
    with pytest.raises(errors.ModelSourceError) as raised:
        await fetch(source, model)
    return raised.value


async def test_file_is_downloaded_into_the_hubs_cache_once(
    server: FileServer, source: HuggingFaceSource, tmp_path: Path
) -> None:
    server.behaviours[TARGET] = hub_file(CONTENT)
    path, reports = await fetch(source)
    assert path.read_bytes() == CONTENT
    assert path == tmp_path / "models--org--repo" / "snapshots" / COMMIT / "m.gguf"
    assert reports[0].indeterminate
    assert reports[-1] == Download(
        filename="m.gguf",
        current_bytes=len(CONTENT),
        total_bytes=len(CONTENT),
        indeterminate=False,
    )
    again, _ = await fetch(source)
    assert again == path
    assert [request.method for request in server.requests].count("GET") == 1


async def test_split_model_comes_with_all_its_parts(
    server: FileServer, source: HuggingFaceSource
) -> None:
    names = [f"m-{part:05d}-of-00003.gguf" for part in (1, 2, 3)]
    for name in names:
        server.behaviours[f"/org/repo/resolve/main/{name}"] = hub_file(name.encode() * len(name))
    path, _ = await fetch(source, HuggingFaceModel("org/repo", names[0], "main"))
    assert path.name == names[0]
    for name in names:
        assert path.with_name(name).read_bytes() == name.encode() * len(name)


@pytest.mark.parametrize(
    ("code", "headers", "expected"),
    [
        (404, {"X-Error-Code": "RepoNotFound"}, errors.HuggingFaceModelDoesNotExist),
        (404, {"X-Error-Code": "RevisionNotFound"}, errors.HuggingFaceModelDoesNotExist),
        (404, {"X-Error-Code": "EntryNotFound"}, errors.HuggingFaceModelDoesNotExist),
        (404, {}, errors.HuggingFaceModelDoesNotExist),
        (403, {"X-Error-Code": "GatedRepo"}, errors.HuggingFacePermissions),
        (403, {}, errors.HuggingFacePermissions),
        (
            401,
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            errors.HuggingFacePermissions,
        ),
        (400, {}, errors.DownloadServerRejectedRequest),
        (500, {}, errors.DownloadServerErrored),
        (200, {}, errors.DownloadServerRejectedRequest),
    ],
)
async def test_answer_of_the_hub_says_what_is_wrong(
    server: FileServer,
    source: HuggingFaceSource,
    code: int,
    headers: dict[str, str],
    expected: type[Exception],
) -> None:
    server.behaviours[TARGET] = status(code, **headers)
    assert type(await failure(source)) is expected


@pytest.mark.parametrize("repo_id", ["a/b/c", "..", "a b"])
async def test_name_that_no_repository_has_does_not_exist(
    source: HuggingFaceSource, repo_id: str
) -> None:
    error = await failure(source, HuggingFaceModel(repo_id, "m.gguf", "main"))
    assert type(error) is errors.HuggingFaceModelDoesNotExist


async def test_hub_that_is_away_does_not_matter_to_what_is_cached(
    server: FileServer, source: HuggingFaceSource
) -> None:
    server.behaviours[TARGET] = hub_file(CONTENT)
    path, _ = await fetch(source)
    server.behaviours[TARGET] = status(503)
    again, _ = await fetch(source)
    assert again == path


async def test_hub_that_is_away_is_unreachable(tmp_path: Path) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    source = HuggingFaceSource(endpoint=f"http://127.0.0.1:{port}", cache_dir=tmp_path)
    assert type(await failure(source)) is errors.DownloadServerIsUnreachable


async def test_offline_what_is_cached_is_found_and_nothing_else(
    server: FileServer, source: HuggingFaceSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.behaviours[TARGET] = hub_file(CONTENT)
    path, _ = await fetch(source)
    n_requests = len(server.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again, _ = await fetch(source)
    assert again == path
    other = HuggingFaceModel("org/repo", "other.gguf", "main")
    assert type(await failure(source, other)) is errors.DownloadServerIsUnreachable
    assert len(server.requests) == n_requests


async def test_file_of_a_commit_needs_no_hub_once_it_is_cached(
    server: FileServer, source: HuggingFaceSource
) -> None:
    model = HuggingFaceModel("org/repo", "m.gguf", COMMIT)
    server.behaviours[f"/org/repo/resolve/{COMMIT}/m.gguf"] = hub_file(CONTENT)
    path, _ = await fetch(source, model)
    n_requests = len(server.requests)
    again, _ = await fetch(source, model)
    assert again == path
    assert len(server.requests) == n_requests


async def test_lock_held_by_another_process_is_reported(
    server: FileServer, source: HuggingFaceSource, tmp_path: Path
) -> None:
    server.behaviours[TARGET] = hub_file(CONTENT)
    lock_path = tmp_path / ".locks" / "models--org--repo" / f"{etag(CONTENT)}.lock"
    os.makedirs(lock_path.parent)
    with open(lock_path, "w") as lock:  # noqa: ASYNC230  # a lock file is not worth a thread
        fcntl.flock(lock, fcntl.LOCK_EX)
        error = await failure(source)
        assert isinstance(error, errors.HuggingFaceCannotAcquireLock)
        assert error.lock_path == str(lock_path)
        assert error.patient
    path, _ = await fetch(source)
    assert path.read_bytes() == CONTENT


async def test_cancelled_download_ends_at_its_next_piece(
    server: FileServer, source: HuggingFaceSource
) -> None:
    content = bytes(40_000_000)
    server.behaviours[TARGET] = hub_file(content, stall_after=21_000_000)
    with trio.fail_after(DEADLINE_S), trio.CancelScope() as scope:

        def report(download: Download) -> None:
            if download.current_bytes:
                scope.cancel()

        await source.fetch(MODEL, report)
    assert scope.cancelled_caught


async def test_cache_that_cannot_be_written_says_so(server: FileServer, tmp_path: Path) -> None:
    server.behaviours[TARGET] = hub_file(CONTENT)
    (tmp_path / "file").write_text("")  # set-up
    source = HuggingFaceSource(endpoint=server.url(""), cache_dir=tmp_path / "file" / "cache")
    assert type(await failure(source)) is errors.CacheDirectoryIsNotWritable


async def test_environment_names_hub_cache_and_token(server: FileServer, tmp_path: Path) -> None:
    server.behaviours[TARGET] = hub_file(CONTENT)
    script = (
        "import trio\n"
        "from paddler.agent.model_sources.huggingface import HuggingFaceSource\n"
        "from paddler.messages.state import HuggingFaceModel\n"
        "model = HuggingFaceModel('org/repo', 'm.gguf', 'main')\n"
        "print(trio.run(HuggingFaceSource().fetch, model, lambda report: None))\n"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_ENDPOINT": server.url(""),
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_secret",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with trio.fail_after(DEADLINE_S):
        done = await trio.run_process(
            [sys.executable, "-c", script], env=environment, capture_stdout=True
        )
    assert done.stdout.decode().startswith(str(tmp_path / "home"))
    asked = [request for request in server.requests if request.target == TARGET]
    assert {request.headers["authorization"] for request in asked} == {"Bearer hf_secret"}


def test_every_error_of_the_hubs_http_has_a_meaning() -> None:
    def tree(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(tree(child) for child in kind.__subclasses__()))

    class Response:
        status_code = 418

    for kind in tree(hub.HfHubHTTPError):
        error = kind.__new__(kind)
        OSError.__init__(error, "text")
        error.response = Response()  # type: ignore[attr-defined]
        assert isinstance(error_of_hub(error), errors.ModelSourceError), kind


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, errors.CacheStorageIsFull),
        (errno.EACCES, errors.CacheDirectoryIsNotWritable),
        (errno.EIO, errors.DownloadInterrupted),
    ],
)
def test_what_the_disk_says_is_translated(number: int, expected: type[Exception]) -> None:
    assert type(error_of_hub(OSError(number, os.strerror(number)))) is expected


def test_what_is_nothing_of_the_hubs_passes() -> None:
    assert error_of_hub(ZeroDivisionError()) is None
