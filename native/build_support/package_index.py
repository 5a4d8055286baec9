"""Finding and downloading one pinned file from a package index.

Speaks the simple repository API (JSON, with HTML for older indexes) and reads
local indexes and link directories, the way pip would with its configuration.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import netrc
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BuildError, disk_errors

if TYPE_CHECKING:
    from urllib.response import addinfourl

    from .pin import Pin
    from .pip_settings import PipSettings
    from .progress import Progress

ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
)
ATTEMPTS = 3
CHUNK_BYTES = 1 << 18
HINT = "Check the network and pip's configuration, or set PADDLER_LLAMA_CPP_DIR."


@dataclass(frozen=True)
class Link:
    """One file that an index offers."""

    url: str
    sha256: str | None


class Downloader:
    """HTTP(S) and file URLs, with pip's proxy, certificates and credentials."""

    def __init__(self, settings: PipSettings) -> None:
        self._settings = settings
        handlers: list[urllib.request.BaseHandler] = []
        if settings.proxy:
            handlers.append(
                urllib.request.ProxyHandler({"http": settings.proxy, "https": settings.proxy})
            )
        self._openers = {
            trusted: urllib.request.build_opener(
                *handlers, urllib.request.HTTPSHandler(context=_tls(settings, trusted=trusted))
            )
            for trusted in (False, True)
        }

    def open_with_retries(self, url: str, accept: str) -> addinfourl:
        """Opens `url`, trying again where that may help; raises OSError."""
        for attempt in range(1, ATTEMPTS):
            try:
                return self.open(url, accept)
            except OSError as error:
                if not _is_passing(error):
                    raise
            time.sleep(attempt / 2)
        return self.open(url, accept)

    def open(self, url: str, accept: str = "*/*") -> addinfourl:
        """Opens `url`; raises OSError."""
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        location = host + (f":{parts.port}" if parts.port else "")
        clean = parts if parts.scheme == "file" else parts._replace(netloc=location)
        request = urllib.request.Request(clean.geturl(), headers={"Accept": accept})
        credentials = _credentials(parts)
        if credentials:
            request.add_unredirected_header("Authorization", f"Basic {credentials}")
        trusted = bool({host, location} & self._settings.trusted_hosts)
        opened: addinfourl = self._openers[trusted].open(request, timeout=self._settings.timeout_s)
        return opened


def fetch(pin: Pin, target: Path, settings: PipSettings, progress: Progress) -> None:
    """Downloads the pinned file to `target`; raises BuildError."""
    downloader = Downloader(settings)
    failures: list[str] = []
    for place in [*settings.find_links, *settings.index_urls]:
        is_index = place in settings.index_urls
        try:
            link = _find(downloader, place, pin, is_index=is_index)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # Also an address that is none, a page that is cut off, JSON that is none.
            if is_index:
                failures.append(f"{_without_password(place)}: {_reason(error)}")
            continue
        if link is None:
            if is_index:
                failures.append(f"{_without_password(place)} does not have it")
            continue
        if link.sha256 not in (None, pin.sha256):
            raise _hash_mismatch(pin, link.url, str(link.sha256))
        _download(downloader, link, pin, target, progress)
        return
    if not settings.index_urls:
        failures.append("pip is configured without an index")
    raise BuildError(
        f"The llama.cpp source {pin.filename} could not be found: {'; '.join(failures)}. {HINT}"
    )


def _find(downloader: Downloader, place: str, pin: Pin, *, is_index: bool) -> Link | None:
    """The pinned file at an index or at a place with links."""
    local = _local_path(place)
    page = f"{place.rstrip('/')}/{pin.package}/" if is_index else place
    if local is not None:
        folder = local / pin.package if is_index else local
        if folder.is_file():
            return _links_of_html(folder.read_text("utf-8"), folder.as_uri()).get(pin.filename)
        if (folder / pin.filename).is_file():
            return Link((folder / pin.filename).absolute().as_uri(), None)
        folder /= "index.html"
        if not folder.is_file():
            return None
        return _links_of_html(folder.read_text("utf-8"), folder.as_uri()).get(pin.filename)
    try:
        response = downloader.open_with_retries(page, ACCEPT)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    with response:
        body = response.read()
    if "json" in response.headers.get("Content-Type", ""):
        links = _links_of_json(body, response.url)
    else:
        links = _links_of_html(body.decode("utf-8", "replace"), response.url)
    return links.get(pin.filename)


def _download(
    downloader: Downloader, link: Link, pin: Pin, target: Path, progress: Progress
) -> None:
    progress.step("Downloading llama.cpp")
    found = ""
    for attempt in range(ATTEMPTS):
        hasher = hashlib.sha256()
        done = 0
        try:
            with (
                downloader.open(link.url) as response,
                disk_errors(target.parent),
                target.open("wb") as file,
            ):
                while chunk := response.read(CHUNK_BYTES):
                    file.write(chunk)
                    hasher.update(chunk)
                    done += len(chunk)
                    detail = f"{done >> 20} of {pin.size_bytes >> 20} MB"
                    progress.at(done, pin.size_bytes, detail)
        except (OSError, http.client.HTTPException) as error:
            if attempt + 1 < ATTEMPTS and _is_passing(error):
                time.sleep(1 + 2 * attempt)
                continue
            raise BuildError(
                f"Downloading {_without_password(link.url)} failed: {_reason(error)}. {HINT}"
            ) from error
        found = hasher.hexdigest()
        was_cut = done < pin.size_bytes and not link.url.startswith("file:")
        if not was_cut:
            break
    if found != pin.sha256:
        raise _hash_mismatch(pin, link.url, found)


def _hash_mismatch(pin: Pin, url: str, found: str) -> BuildError:
    return BuildError(
        f"{_without_password(url)} is not the pinned llama.cpp source: its SHA-256 is {found}, "
        f"native/llama_cpp.lock wants {pin.sha256}. Nothing of it was used."
    )


def _links_of_json(body: bytes, base: str) -> dict[str, Link]:
    return {
        file["filename"]: Link(
            urllib.parse.urljoin(base, file["url"]), file.get("hashes", {}).get("sha256")
        )
        for file in json.loads(body)["files"]
    }


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href")
        if tag == "a" and address:
            self.addresses.append(address)


def _links_of_html(text: str, base: str) -> dict[str, Link]:
    anchors = _Anchors()
    anchors.feed(text)
    links = {}
    for address in anchors.addresses:
        url, _, fragment = urllib.parse.urljoin(base, address).partition("#")
        name = urllib.parse.unquote(url.rpartition("/")[2])
        links[name] = Link(url, dict(urllib.parse.parse_qsl(fragment)).get("sha256"))
    return links


def _local_path(place: str) -> Path | None:
    if place.startswith("file:"):
        return Path(urllib.request.url2pathname(urllib.parse.urlsplit(place).path))
    return None if "://" in place else Path(place).expanduser()


def _tls(settings: PipSettings, *, trusted: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.cert)
    if settings.cert is None and not context.cert_store_stats()["x509_ca"]:
        # Python builds without a certificate store; pip brings one.
        try:
            from pip._vendor import certifi
        except ImportError:
            pass
        else:
            context.load_verify_locations(certifi.where())
    if trusted:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _credentials(parts: urllib.parse.SplitResult) -> str | None:
    user, password = parts.username, parts.password
    if user is None and parts.hostname:
        try:
            entry = netrc.netrc().authenticators(parts.hostname)
        except (OSError, netrc.NetrcParseError):
            entry = None
        if entry:
            user, password = entry[0], entry[2]
    if user is None:
        return None
    text = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password or '')}"
    return base64.b64encode(text.encode()).decode()


def _without_password(url: str) -> str:
    """Also of what is no URL."""
    return re.sub(r"(?<=://)[^/]*@", "", url)


def _is_passing(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code == 429
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__
