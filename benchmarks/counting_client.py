"""Many streaming clients in one process that only count: they must not be what is measured.

    python -m benchmarks.counting_client --port PORT --path /api/v1/... --streams 64 --body '{…}'

Opens all streams at once, reads whatever comes, counts `~` (one per token, see
`scripted_agent`), and prints one line of JSON: tokens, seconds from the first
byte of an answer to the last of all, reads and times to first token.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import time

_READ_BYTES = 1 << 18
_LAST_CHUNK = b"0\r\n\r\n"
_OK = b"HTTP/1.1 200"


class StreamFailed(Exception):
    """A server refused, or closed a stream before its end."""


def count(port: int, path: str, body: bytes, n_streams: int) -> dict[str, object]:
    """Run the streams to their ends; raises StreamFailed."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    waiting = selectors.DefaultSelector()
    asked_at: dict[int, float] = {}
    tails: dict[int, bytes] = {}
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(n_streams)]
    for number, connection in enumerate(sockets):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting.register(connection, selectors.EVENT_READ, number)
        asked_at[number] = time.perf_counter()
        tails[number] = b""
        connection.sendall(head + body)
        connection.setblocking(False)
    n_tokens = n_reads = n_bytes = 0
    ttfts_s: dict[int, float] = {}
    first_at = ended_at = 0.0
    n_open = n_streams
    while n_open:
        for key, _ in waiting.select():
            number = key.data
            connection = sockets[number]
            data = connection.recv(_READ_BYTES)
            n_reads += 1
            n_bytes += len(data)
            found = data.count(b"~")
            n_tokens += found
            if found and number not in ttfts_s:
                now = time.perf_counter()
                ttfts_s[number] = now - asked_at[number]
                first_at = first_at or now
            tail = (tails[number] + data)[-len(_OK) :]
            if not tails[number] and not data.startswith(_OK):
                raise StreamFailed(data[:300].decode("utf-8", "replace"))
            tails[number] = tail
            if not data:
                raise StreamFailed("a stream ended before its last chunk")
            if tail.endswith(_LAST_CHUNK):
                ended_at = time.perf_counter()
                waiting.unregister(connection)
                connection.close()
                n_open -= 1
    return {
        "n_tokens": n_tokens,
        "seconds": ended_at - first_at,
        "n_reads": n_reads,
        "n_bytes": n_bytes,
        "ttfts_s": list(ttfts_s.values()),
    }


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--body", required=True)
    arguments = parser.parse_args()
    found = count(arguments.port, arguments.path, arguments.body.encode(), arguments.streams)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
