"""Models behind an http or https URL: resumable, verified, one download per machine.

What came so far survives everything: the next attempt asks for the rest, on
condition that the file is still the same (`If-Range`). A file gets its final
name only when its length is what the server promised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import BinaryIO, cast

import httpx
import trio

from paddler.agent.model_sources.cache import CachedFile, FileLock, FileRecord, disk_errors
from paddler.agent.model_sources.errors import (
    CacheStorageIsFull,
    DownloadInterrupted,
    DownloadServerRejectedRequest,
    ModelCacheIsCorrupted,
    ModelSourceError,
)
from paddler.agent.model_sources.http_errors import (
    error_of_status,
    error_while_asking,
    error_while_reading,
    parse_url,
)
from paddler.agent.model_sources.progress import DownloadReporter, progress_of
from paddler.agent.model_sources.split_files import part_names

MAX_REDIRECTS = 10
WRITE_BYTES = 1024 * 1024

_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<total>\d+|\*)")
_REDIRECTS = {301, 302, 303, 307, 308}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """`timeout_s`: longest wait for a connection, an answer, or its next bytes."""

    max_bytes: int
    timeout_s: float
    lock_wait_s: float


class _CannotContinue(DownloadServerRejectedRequest):
    """The server does not continue where the part here ends."""


class UrlSource:
    """Downloads into `directory`, which is made when needed."""

    def __init__(self, directory: Path, limits: DownloadLimits) -> None:
        self._directory = directory
        self._limits = limits

    async def fetch(self, address: str, report: DownloadReporter) -> Path:
        """The (first) file of the model behind `address`, downloaded unless cached.

        A split model's other parts are fetched from beside it.

        Raises:
            ModelSourceError: See `errors`.
        """
        first = parse_url(address)
        parts = [first.copy_with(path=part) for part in part_names(first.path)]
        with disk_errors(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
        files = [
            CachedFile.of_url(self._directory, str(parts[0]), _suffix(i, len(parts)))
            for i in range(len(parts))
        ]
        timeout = httpx.Timeout(self._limits.timeout_s)
        async with httpx.AsyncClient(timeout=timeout, follow_redirects=False) as client:
            for url, file in zip(parts, files, strict=True):
                await self._fetch_file(client, url, file, report)
        return files[0].path

    async def _fetch_file(
        self, client: httpx.AsyncClient, url: httpx.URL, file: CachedFile, report: DownloadReporter
    ) -> None:
        if self._is_complete(file):
            return
        async with FileLock(file.lock_path, wait_s=self._limits.lock_wait_s):
            if self._is_complete(file):
                return
            try:
                await self._download(client, url, file, report)
            except _CannotContinue:
                # The server has another idea of the file than its beginning here: start over.
                with disk_errors(file.path):
                    file.discard()
                await self._download(client, url, file, report)

    def _is_complete(self, file: CachedFile) -> bool:
        with disk_errors(file.path):
            size_bytes = file.size_bytes()
            if size_bytes is None:
                return False
            record = file.read_record()
            if record is None or record.total_bytes in (None, size_bytes):
                return True
            file.discard()
        message = f"{file.path} had {size_bytes} bytes instead of {record.total_bytes}"
        raise ModelCacheIsCorrupted(message)

    async def _download(
        self, client: httpx.AsyncClient, url: httpx.URL, file: CachedFile, report: DownloadReporter
    ) -> None:
        """Fetch what is missing.

        Raises:
            _CannotContinue: The server refuses the range that was asked for.
        """
        headers = {"Accept-Encoding": "identity"}
        with disk_errors(file.part_path):
            record, n_present = file.read_record(), file.part_bytes()
        if n_present and record is not None and record.validator is not None:
            headers |= {"Range": f"bytes={n_present}-", "If-Range": record.validator}
        if not n_present or record is None or record.total_bytes != n_present:
            async with _answer(client, url, headers) as response:
                first, total_bytes = _extent(response, n_present if "Range" in headers else None)
                self._check_size(file, total_bytes, first)
                validator = _validator(response)
                with disk_errors(file.record_path):
                    file.write_record(
                        FileRecord(url=str(url), validator=validator, total_bytes=total_bytes)
                    )
                await self._save(response, file, first, total_bytes, _progress_name(url), report)
        with disk_errors(file.path):
            await trio.to_thread.run_sync(file.complete)

    def _check_size(self, file: CachedFile, total_bytes: int | None, n_present: int) -> None:
        if total_bytes is None:
            return
        if total_bytes > self._limits.max_bytes:
            raise self._too_large(total_bytes)
        with disk_errors(file.path):
            free_bytes = shutil.disk_usage(file.path.parent).free
        if free_bytes < total_bytes - n_present:
            message = f"{total_bytes - n_present} bytes are needed, {free_bytes} are free"
            raise CacheStorageIsFull(message)

    async def _save(
        self,
        response: httpx.Response,
        file: CachedFile,
        first: int,
        total_bytes: int | None,
        name: str,
        report: DownloadReporter,
    ) -> None:
        host = response.request.url.host
        with disk_errors(file.part_path):
            part = file.part_path.open("r+b" if first else "wb")
        with part:
            n_bytes = first
            with disk_errors(file.part_path):
                part.truncate(first)
                part.seek(first)
            report(progress_of(name, n_bytes, total_bytes))
            try:
                async with aclosing(_blocks(response)) as blocks:
                    async for block in blocks:
                        n_bytes += len(block)
                        if n_bytes > self._limits.max_bytes:
                            raise self._too_large(n_bytes)
                        await _write(part, block, file.part_path)
                        report(progress_of(name, n_bytes, total_bytes))
            except httpx.HTTPError as error:
                raise error_while_reading(error, host, n_bytes) from error
        if total_bytes is not None and n_bytes != total_bytes:
            message = f"{host} sent {n_bytes} bytes instead of {total_bytes}"
            raise DownloadInterrupted(message)

    def _too_large(self, n_bytes: int) -> ModelSourceError:
        message = f"the file has {n_bytes} bytes or more; the limit is {self._limits.max_bytes}"
        return DownloadServerRejectedRequest(message)


@asynccontextmanager
async def _answer(
    client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str]
) -> AsyncGenerator[httpx.Response, None]:
    """The answer at the end of all redirects, open for reading.

    Raises:
        ModelSourceError: There is none, or it is not the file.
    """
    response = await _ask(client, url, headers)
    for _ in range(MAX_REDIRECTS):
        if response.status_code not in _REDIRECTS:
            break
        await response.aclose()
        url = _redirected(url, response)
        response = await _ask(client, url, headers)
    try:
        if response.status_code in _REDIRECTS:
            message = f"{url.host} redirects more than {MAX_REDIRECTS} times"
            raise DownloadServerRejectedRequest(message)
        if response.status_code not in (200, 206, 416):
            raise error_of_status(response.status_code, url.host)
        yield response
    finally:
        with trio.move_on_after(1, shield=True):
            await response.aclose()


async def _ask(
    client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str]
) -> httpx.Response:
    request = client.build_request("GET", url, headers=headers)
    try:
        return await client.send(request, stream=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise error_while_asking(error, url.host) from error


def _redirected(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    location = response.headers.get("Location", "")
    try:
        target = url.join(location)
    except httpx.InvalidURL:
        target = httpx.URL()
    if (
        not location
        or not target.host
        or target.scheme not in ("http", "https")
        or (url.scheme == "https" and target.scheme == "http")
    ):
        message = f"{url.host} redirects to `{location[:200]}`, which is not followed"
        raise DownloadServerRejectedRequest(message)
    return target


def _extent(response: httpx.Response, asked_from: int | None) -> tuple[int, int | None]:
    """Where the body begins in the file, and how long the file is.

    Raises:
        _CannotContinue: The answer does not continue at `asked_from`.
    """
    host = response.request.url.host
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        message = f"{host} answered in the encoding {encoding}, which was not asked for"
        raise DownloadServerRejectedRequest(message)
    length = response.headers.get("Content-Length")
    n_body = int(length) if length is not None and length.isdecimal() else None
    if response.status_code == 200:
        return 0, n_body
    if asked_from is None:
        raise error_of_status(response.status_code, host)
    content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if (
        response.status_code == 416
        or content_range is None
        or int(content_range["first"]) != asked_from
    ):
        message = f"{host} does not continue at byte {asked_from}"
        raise _CannotContinue(message)
    if content_range["total"] != "*":
        return asked_from, int(content_range["total"])
    return asked_from, None if n_body is None else asked_from + n_body


def _validator(response: httpx.Response) -> str | None:
    """What `If-Range` takes: a strong ETag, else the modification date (RFC 9110, 13.1.5)."""
    etag: str | None = response.headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return etag
    modified: str | None = response.headers.get("Last-Modified")
    return modified


async def _blocks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body in pieces worth a write; what came before a failure is yielded first."""
    pending = bytearray()
    failure: httpx.HTTPError | None = None
    # httpx promises an iterator; that it is a generator, to be closed, is its implementation.
    body = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
    over = False
    try:
        while not over:
            try:
                pending += await anext(body)
            except StopAsyncIteration:
                over = True
            except httpx.HTTPError as error:
                over, failure = True, error
            if len(pending) >= WRITE_BYTES or (over and pending):
                yield bytes(pending)
                pending.clear()
    finally:
        if not over:
            with trio.move_on_after(1, shield=True):
                await _give_up(response, body)
    if failure is not None:
        raise failure


async def _give_up(response: httpx.Response, body: AsyncGenerator[bytes, None]) -> None:
    """Close an answer that is not read to its end.

    The generators inside httpx's end only by running out, which they do once
    the connection is closed under them.
    """
    await response.aclose()
    with contextlib.suppress(StopAsyncIteration, httpx.HTTPError, httpx.StreamError):
        await anext(body)
    await body.aclose()


async def _write(part: BinaryIO, block: bytes, path: Path) -> None:
    with disk_errors(path):
        await trio.to_thread.run_sync(part.write, block)


def _suffix(i: int, n_parts: int) -> str:
    return ".gguf" if n_parts == 1 else f"-{i + 1:05d}-of-{n_parts:05d}.gguf"


def _progress_name(url: httpx.URL) -> str:
    return url.path.rsplit("/", 1)[-1] or url.host
