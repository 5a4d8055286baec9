"""From huggingface_hub's errors, and its transport's, to the contract's.

The only place that knows them; a test holds huggingface_hub's tree against the
table. Imported when the first model is fetched.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from huggingface_hub import errors as hub

from paddler.agent.model_sources.errors import (
    CacheDirectoryIsNotWritable,
    CacheStorageIsFull,
    DownloadInterrupted,
    DownloadServerErrored,
    DownloadServerIsUnreachable,
    DownloadServerRejectedRequest,
    HuggingFaceModelDoesNotExist,
    HuggingFacePermissions,
    ModelCacheIsCorrupted,
    ModelSourceError,
)

TransportError: type[Exception] = hub.HfHubHTTPError.__bases__[0]
"""The base of the HTTP library's errors: which library depends on huggingface_hub's version."""

_BY_KIND: list[tuple[type[Exception], type[ModelSourceError]]] = [
    # The first match counts.
    (hub.GatedRepoError, HuggingFacePermissions),
    (hub.DisabledRepoError, HuggingFacePermissions),
    (hub.LocalTokenNotFoundError, HuggingFacePermissions),
    (hub.RepositoryNotFoundError, HuggingFaceModelDoesNotExist),
    (hub.RevisionNotFoundError, HuggingFaceModelDoesNotExist),
    (hub.RemoteEntryNotFoundError, HuggingFaceModelDoesNotExist),
    (hub.HFValidationError, HuggingFaceModelDoesNotExist),
    (hub.OfflineModeIsEnabled, DownloadServerIsUnreachable),
    (hub.FileMetadataError, DownloadServerRejectedRequest),
    (hub.CorruptedCacheException, ModelCacheIsCorrupted),
    (hub.XetDownloadError, DownloadInterrupted),
]


@contextlib.contextmanager
def hub_errors() -> Iterator[None]:
    """Turn what huggingface_hub raises into the contract's errors; the unknown passes.

    Raises:
        ModelSourceError: See `errors`.
    """
    try:
        yield
    except ModelSourceError:
        raise
    except Exception as error:
        known = error_of_hub(error)
        if known is None:
            raise
        raise known from error


def is_definite(error: Exception) -> bool:
    """The hub knows the repository and says that there is no such revision or file."""
    return isinstance(error, (hub.RevisionNotFoundError, hub.RemoteEntryNotFoundError))


def error_of_hub(error: Exception) -> ModelSourceError | None:
    """What `error` means to an operator; None if it is nothing of huggingface_hub's."""
    message = str(error).strip() or type(error).__name__
    for kind, becomes in _BY_KIND:
        if isinstance(error, kind):
            return becomes(message)
    if isinstance(error, hub.LocalEntryNotFoundError):
        cause = error.__cause__
        because = error_of_hub(cause) if isinstance(cause, Exception) else None
        return because or DownloadServerIsUnreachable(message)
    if isinstance(error, hub.HfHubHTTPError):
        return _of_status(error.response.status_code, message)
    if isinstance(error, TransportError):
        return _of_transport(type(error).__name__, message)
    if isinstance(error, OSError):
        return _of_os(error, message)
    if isinstance(error, ValueError):
        # A file name that leads out of the repository, for one.
        return HuggingFaceModelDoesNotExist(message)
    return None


def _of_status(status: int, message: str) -> ModelSourceError:
    match status:
        case 401 | 403:
            return HuggingFacePermissions(message)
        case 404 | 410:
            return HuggingFaceModelDoesNotExist(message)
        case _ if status >= 500:
            return DownloadServerErrored(message)
        case _:
            return DownloadServerRejectedRequest(message)


def _of_transport(name: str, message: str) -> ModelSourceError:
    if any(part in name for part in ("Connect", "Timeout", "Proxy", "Pool")):
        return DownloadServerIsUnreachable(message)
    return DownloadInterrupted(message)


def _of_os(error: OSError, message: str) -> ModelSourceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CacheStorageIsFull(message)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return CacheDirectoryIsNotWritable(message)
    return DownloadInterrupted(message)
