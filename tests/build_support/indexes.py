"""Small package indexes, on disk and over HTTP, that offer one file."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from build_support.pin import Pin
from build_support.pip_settings import PipSettings


def pin_of(content: bytes) -> Pin:
    """A pin for a made-up package with this content."""
    return Pin(
        package="some-package",
        version="1",
        filename="some_package-1.tar.gz",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


def file_index(directory: Path, pin: Pin, content: bytes) -> str:
    """A local index in the layout that pip understands; returns its URL."""
    folder = directory / pin.package
    folder.mkdir(parents=True)
    (folder / pin.filename).write_bytes(content)
    (folder / "index.html").write_text(f'<a href="{pin.filename}">{pin.filename}</a>')
    return directory.as_uri()


def index_settings(*index_urls: str, find_links: tuple[str, ...] = ()) -> PipSettings:
    """pip's settings with nothing but these indexes."""
    return PipSettings(
        index_urls=index_urls,
        find_links=find_links,
        trusted_hosts=frozenset(),
        proxy=None,
        cert=None,
        timeout_s=5,
    )


@dataclass
class HttpIndex:
    """What the server offers, how, and what it was asked."""

    pin: Pin
    content: bytes
    as_json: bool = True
    announced_sha256: str | None = None
    n_cut_downloads: int = 0
    n_refusals: int = 0
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(index: HttpIndex) -> Iterator[HttpIndex]:
    """Serves it on a free port of the loopback interface."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.requests.append((self.path, self.headers.get("Authorization")))
            if index.n_refusals > 0:
                index.n_refusals -= 1
                self.send_error(503)
            elif self.path == f"/simple/{index.pin.package}/":
                kind, body = _page(index)
                self._answer(kind, body, len(body))
            elif self.path == f"/files/{index.pin.filename}":
                cut = len(index.content) // 2 if index.n_cut_downloads > 0 else len(index.content)
                index.n_cut_downloads -= 1
                self._answer("application/gzip", index.content[:cut], len(index.content))
            else:
                self.send_error(404)

        def _answer(self, kind: str, body: bytes, length: int) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        index.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()


def _page(index: HttpIndex) -> tuple[str, bytes]:
    sha256 = index.announced_sha256 or index.pin.sha256
    address = f"../../files/{index.pin.filename}"
    if index.as_json:
        file = {"filename": index.pin.filename, "url": address, "hashes": {"sha256": sha256}}
        return "application/vnd.pypi.simple.v1+json", json.dumps({"files": [file]}).encode()
    page = f'<html><a href="{address}#sha256={sha256}">{index.pin.filename}</a></html>'
    return "text/html", page.encode()
