"""From HTTP, as httpx and servers speak it, to the contract's errors.

The only place that knows httpx's exceptions; a test holds its tree against the
table.
"""

from __future__ import annotations

import re

import httpx

from paddler.agent.model_sources.errors import (
    DownloadInterrupted,
    DownloadServerDeniedAccess,
    DownloadServerErrored,
    DownloadServerIsUnreachable,
    DownloadServerRejectedRequest,
    DownloadUrlIsMalformed,
    ModelDoesNotExistAtUrl,
    ModelSourceError,
)

_HOST = re.compile(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
"""A name (as IDNA writes it), or an address of either kind."""

_WHILE_ASKING: list[tuple[type[Exception], type[ModelSourceError]]] = [
    # The first match counts.
    (httpx.InvalidURL, DownloadUrlIsMalformed),
    (httpx.UnsupportedProtocol, DownloadUrlIsMalformed),
    (httpx.LocalProtocolError, DownloadUrlIsMalformed),
    (httpx.RemoteProtocolError, DownloadInterrupted),
    (httpx.TimeoutException, DownloadServerIsUnreachable),
    (httpx.TransportError, DownloadServerIsUnreachable),
    (httpx.HTTPError, DownloadServerRejectedRequest),
]


def error_while_asking(error: httpx.HTTPError | httpx.InvalidURL, host: str) -> ModelSourceError:
    """`error` came before the answer's head."""
    for kind, becomes in _WHILE_ASKING:
        if isinstance(error, kind):
            return becomes(f"{host}: {_describe(error)}")
    return DownloadServerRejectedRequest(f"{host}: {_describe(error)}")


def error_while_reading(error: httpx.HTTPError, host: str, n_bytes: int) -> ModelSourceError:
    """`error` came after `n_bytes` of the answer's body."""
    return DownloadInterrupted(f"{host}: after {n_bytes} bytes: {_describe(error)}")


def error_of_status(status: int, host: str) -> ModelSourceError:
    """What an answer that is neither the file nor a redirect means."""
    message = f"{host} answered with HTTP status {status}"
    match status:
        case 401 | 403 | 407:
            return DownloadServerDeniedAccess(message)
        case 404 | 410:
            return ModelDoesNotExistAtUrl(message)
        case _ if status >= 500:
            return DownloadServerErrored(message)
        case _:
            return DownloadServerRejectedRequest(message)


def parse_url(text: str) -> httpx.URL:
    """An absolute http or https URL.

    Raises:
        DownloadUrlIsMalformed: Anything else.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        message = f"not a URL: {error}"
        raise DownloadUrlIsMalformed(message) from None
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(url.raw_host):
        message = "the URL must begin with http:// or https:// and name a host"
        raise DownloadUrlIsMalformed(message)
    return url


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__
