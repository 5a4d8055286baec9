"""Why a model's files could not be had; each class is one issue of the contract.

ModelSourceError
├── CacheCannotAcquireLock          another process works on the same file
├── CacheDirectoryIsNotWritable
├── CacheStorageIsFull
├── DownloadInterrupted             cut off, stalled, or not as long as promised
├── DownloadServerDeniedAccess      401, 403
├── DownloadServerErrored           5xx
├── DownloadServerIsUnreachable     no address, no connection, no answer
├── DownloadServerRejectedRequest   another 4xx, a forbidden redirect, too large
├── DownloadUrlIsMalformed
├── HuggingFaceCannotAcquireLock    another process downloads the same file
├── HuggingFaceModelDoesNotExist    no such repository, revision or file
├── HuggingFacePermissions          gated, private, or a token that is not accepted
├── ModelCacheIsCorrupted           what the cache holds is not what was stored
├── ModelDoesNotExistAtUrl          404, 410
└── ModelFileDoesNotExist           no such local file

All but the malformed URL may pass without a new state: servers come back,
space is freed, files and permissions appear.
"""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from paddler.messages.agents import HuggingFaceLockIssue, Issue, ModelIssue, ModelIssueKind


class ModelSourceError(Exception):
    """A model's files could not be had; the text is fit to be shown to an operator.

    `patient`: somebody else is at work, so that waiting long means nothing.
    """

    issue_kind: ClassVar[ModelIssueKind | None] = None
    retryable: ClassVar[bool] = True
    patient: ClassVar[bool] = False

    def issue(self, model_path: str) -> Issue:
        """The contract's issue about the model at `model_path`."""
        kind = self.issue_kind or "ModelCannotBeLoaded"
        return ModelIssue(kind, model_path)


class CacheCannotAcquireLock(ModelSourceError):
    """Another process works on the same file."""

    issue_kind = "CacheCannotAcquireLock"
    patient = True


class CacheDirectoryIsNotWritable(ModelSourceError):
    """The cache directory cannot be created or written."""

    issue_kind = "CacheDirectoryIsNotWritable"


class CacheStorageIsFull(ModelSourceError):
    """There is no space left for the file."""

    issue_kind = "CacheStorageIsFull"


class DownloadInterrupted(ModelSourceError):
    """Cut off, stalled, or not as long as promised; what came is kept."""

    issue_kind = "DownloadInterrupted"


class DownloadServerDeniedAccess(ModelSourceError):
    """401 or 403."""

    issue_kind = "DownloadServerDeniedAccess"


class DownloadServerErrored(ModelSourceError):
    """5xx."""

    issue_kind = "DownloadServerErrored"


class DownloadServerIsUnreachable(ModelSourceError):
    """No address, no connection, or no answer."""

    issue_kind = "DownloadServerIsUnreachable"


class DownloadServerRejectedRequest(ModelSourceError):
    """Another 4xx, a redirect that is not followed, or a file above the limit."""

    issue_kind = "DownloadServerRejectedRequest"


class DownloadUrlIsMalformed(ModelSourceError):
    """Not an http or https URL."""

    issue_kind = "DownloadUrlIsMalformed"
    retryable = False


class HuggingFaceCannotAcquireLock(ModelSourceError):
    """Another process downloads the same file into the same cache."""

    patient = True

    def __init__(self, message: str, *, lock_path: str) -> None:
        super().__init__(message)
        self.lock_path = lock_path

    @override
    def issue(self, model_path: str) -> Issue:
        """`HuggingFaceCannotAcquireLock`, which has a shape of its own."""
        return HuggingFaceLockIssue(self.lock_path, model_path)


class HuggingFaceModelDoesNotExist(ModelSourceError):
    """No such repository, revision or file."""

    issue_kind = "HuggingFaceModelDoesNotExist"


class HuggingFacePermissions(ModelSourceError):
    """Gated, private, or a token that is not accepted."""

    issue_kind = "HuggingFacePermissions"


class ModelCacheIsCorrupted(ModelSourceError):
    """What the cache holds is not what was stored; it is thrown away."""

    issue_kind = "ModelCacheIsCorrupted"


class ModelDoesNotExistAtUrl(ModelSourceError):
    """404 or 410."""

    issue_kind = "ModelDoesNotExistAtUrl"


class ModelFileDoesNotExist(ModelSourceError):
    """No such local file, or a part of a split model is missing."""

    issue_kind = "ModelFileDoesNotExist"
