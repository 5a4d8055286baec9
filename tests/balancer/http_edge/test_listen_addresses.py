"""What an address on the command line says of who can reach it."""

from __future__ import annotations

import pytest

from paddler.balancer.http_edge.serving.listeners import ListenAddress


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("box.example", False),
    ],
)
def test_an_address_knows_whether_only_this_machine_reaches_it(
    host: str, is_loopback: bool
) -> None:
    assert ListenAddress("--addr", host, 1).is_loopback is is_loopback
