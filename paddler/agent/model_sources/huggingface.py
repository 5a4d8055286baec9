"""Models of Hugging Face, or of whatever `HF_ENDPOINT` points at.

Everything is huggingface_hub's: its cache (`HF_HOME`), its token (`HF_TOKEN`),
its transports; so that models fetched by other programs are found, offline too.
It blocks, so it works in a worker thread, which notices an abort at the next
piece of progress it has to tell.

huggingface_hub waits for a file's lock for ever. So the lock is tried first,
and if another process holds it, that is reported instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

import trio

from paddler.agent.model_sources.errors import HuggingFaceCannotAcquireLock
from paddler.agent.model_sources.progress import DownloadReporter, progress_of
from paddler.agent.model_sources.split_files import part_names
from paddler.messages.state import HuggingFaceModel

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

logger = logging.getLogger(__name__)

ABORT_TIMEOUT_S = 2.0
"""How long an aborted download may take to notice before its thread is left behind."""

METADATA_TIMEOUT_S = 10.0

_COMMIT_HASH = re.compile(r"[0-9a-f]{40}")


class _Aborted(Exception):
    """Nobody waits for the download any more."""


class HuggingFaceSource:
    """Downloads into huggingface_hub's cache.

    Args:
        endpoint: Another hub than the environment's.
        cache_dir: Another cache than the environment's.
    """

    def __init__(self, *, endpoint: str | None = None, cache_dir: Path | None = None) -> None:
        self._endpoint = endpoint
        self._cache_dir = cache_dir

    async def fetch(self, model: HuggingFaceModel, report: DownloadReporter) -> Path:
        """The (first) file of `model`, downloaded unless cached, with all its parts.

        Raises:
            ModelSourceError: See `errors`.
        """
        paths = [
            await self._fetch_file(model, filename, report)
            for filename in part_names(model.filename)
        ]
        return paths[0]

    async def _fetch_file(
        self, model: HuggingFaceModel, filename: str, report: DownloadReporter
    ) -> Path:
        token = trio.lowlevel.current_trio_token()
        aborted, started, over = threading.Event(), threading.Event(), trio.Event()

        def tell(current_bytes: int, total_bytes: int | None) -> None:
            """Called in the worker thread."""
            if aborted.is_set():
                raise _Aborted
            token.run_sync_soon(report, progress_of(filename, current_bytes, total_bytes))

        def work() -> Path:
            started.set()
            try:
                return _download(
                    model,
                    filename,
                    endpoint=self._endpoint,
                    cache_dir=self._cache_dir,
                    tell=tell,
                )
            finally:
                # A thread that was left behind may outlive the event loop.
                with contextlib.suppress(trio.RunFinishedError):
                    token.run_sync_soon(over.set)

        report(progress_of(filename, 0, None))
        try:
            return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
        finally:
            if started.is_set() and not over.is_set():
                with trio.move_on_after(ABORT_TIMEOUT_S, shield=True) as deadline:
                    aborted.set()
                    await over.wait()
                if deadline.cancelled_caught:
                    logger.warning("download_left_behind file=%s", filename)


def _download(
    model: HuggingFaceModel,
    filename: str,
    *,
    endpoint: str | None,
    cache_dir: Path | None,
    tell: Callable[[int, int | None], None],
) -> Path:
    """Blocking; huggingface_hub is imported here, as that takes a while.

    Raises:
        ModelSourceError: See `errors`.
        _Aborted: From `tell`.
    """
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    from paddler.agent.model_sources.huggingface_errors import hub_errors, is_definite

    def download(*, local_files_only: bool) -> Path:
        return Path(
            huggingface_hub.hf_hub_download(
                model.repo_id,
                filename,
                revision=model.revision,
                endpoint=endpoint,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                tqdm_class=_progress_bar(tell),
            )
        )

    with hub_errors():
        if constants.HF_HUB_OFFLINE:
            return download(local_files_only=True)
        if _COMMIT_HASH.fullmatch(model.revision):
            cached = huggingface_hub.try_to_load_from_cache(
                model.repo_id, filename, cache_dir=cache_dir, revision=model.revision
            )
            if isinstance(cached, str):
                return Path(cached)
        url = huggingface_hub.hf_hub_url(
            model.repo_id, filename, revision=model.revision, endpoint=endpoint
        )
        try:
            metadata = huggingface_hub.get_hf_file_metadata(
                url, timeout=METADATA_TIMEOUT_S, endpoint=endpoint
            )
        except Exception as error:
            # The hub is away or denies access: what was downloaded before is still good.
            if is_definite(error):
                raise
            try:
                path = download(local_files_only=True)
            except LocalEntryNotFoundError:
                raise error from None
            logger.warning("hub_not_available used=%s reason=%r", path, str(error))
            return path
        _check_lock(model.repo_id, metadata, cache_dir)
        return download(local_files_only=False)


def _check_lock(repo_id: str, metadata: HfFileMetadata, cache_dir: Path | None) -> None:
    """Raises `HuggingFaceCannotAcquireLock` if another process holds the file's lock."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    root = Path(cache_dir or constants.HF_HUB_CACHE)
    folder = repo_folder_name(repo_id=repo_id, repo_type="model")
    path = root / ".locks" / folder / f"{metadata.etag}.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        # No lock file, no holder; what else is wrong with it the download will find.
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"another process holds {path}"
        raise HuggingFaceCannotAcquireLock(message, lock_path=str(path)) from None
    finally:
        os.close(fd)


def _progress_bar(tell: Callable[[int, int | None], None]) -> type:
    """A class that huggingface_hub takes for tqdm: counts, tells, and shows nothing."""

    class ProgressBar:
        def __init__(
            self, *_: object, total: int | None = None, initial: int = 0, **__: object
        ) -> None:
            self.total = total
            self.n = initial
            tell(self.n, self.total)

        def update(self, n: float | None = 1) -> None:
            self.n += int(n or 0)
            tell(self.n, self.total)

        def update_transfer(self, n: float | None = 1) -> None:
            """Bytes on the wire, which deduplication makes fewer than the file's: not told."""

        def set_transfer_postfix_str(self, *_: object, **__: object) -> None:
            pass

        def set_postfix_str(self, *_: object, **__: object) -> None:
            pass

        def refresh(self, *_: object, **__: object) -> None:
            pass

        def close(self) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    return ProgressBar
