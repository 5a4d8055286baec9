"""A reverse proxy as operators have in front: one origin, a path for each service."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
import urllib.parse
from collections.abc import Iterator, Mapping

from typing_extensions import override

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_CHUNK_BYTES = 65_536


@contextlib.contextmanager
def path_proxy(targets: Mapping[str, str]) -> Iterator[str]:
    """Pass what comes below each path on to a URL, and answers back as they stream.

    Args:
        targets: URL by path, such as `/paddler/`; the first that fits is taken.

    Yields:
        The proxy's own URL.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            for path, url in targets.items():
                if self.path.startswith(path):
                    self._exchange(urllib.parse.urlsplit(url), "/" + self.path[len(path) :])
                    return
            self.send_error(404)

        def _exchange(self, target: urllib.parse.SplitResult, path: str) -> None:
            assert target.hostname is not None
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(target.hostname, target.port)
            with contextlib.closing(connection), contextlib.suppress(OSError):
                headers = {name: value for name, value in self.headers.items() if name != "Origin"}
                connection.request(self.command, path, body, headers)
                answer = connection.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.end_headers()
                while chunk := answer.read1(_CHUNK_BYTES):
                    self.wfile.write(chunk)

        do_GET = do_PUT = do_POST = _pass_on

        @override
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # Streams outlive the test's page for a moment; nobody waits for them.
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
