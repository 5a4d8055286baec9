"""Addresses on the command line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddler.cli.addresses import HostPort, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8060", HostPort("127.0.0.1", 8060)),
        ("localhost:0", HostPort("localhost", 0)),
        ("my-host.example:65535", HostPort("my-host.example", 65535)),
        ("[::1]:8060", HostPort("::1", 8060)),
        ("[fe80::1%eth0]:80", HostPort("fe80::1%eth0", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: HostPort) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "8060", "host", "host:", ":8060", "host:port", "::1:8060", "[::1]", "host:65536", "a b:1"],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        parse_address(text)


@given(st.text())
def test_no_text_makes_it_fail_in_another_way(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_address(text).port <= 65535
