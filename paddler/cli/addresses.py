"""Addresses on the command line: `host:port`, IPv6 in brackets."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import click
from typing_extensions import override

_ADDRESS = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[^:\[\]\s/]+)):(?P<port>\d{1,5})")


@dataclasses.dataclass(frozen=True)
class HostPort:
    """A host, by name or number, and a port."""

    host: str
    port: int


def parse_address(text: str) -> HostPort:
    """Split `text`.

    Raises:
        ValueError: Not an address; the text says what one looks like.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        message = (
            f"{text!r} is not an address: write host:port, for example 127.0.0.1:8060, "
            "localhost:8060 or [::1]:8060"
        )
        raise ValueError(message)
    port = int(match["port"])
    if port > 65535:
        message = f"{text!r} is not an address: the port is above 65535"
        raise ValueError(message)
    return HostPort(match["bracketed"] or match["plain"], port)


if TYPE_CHECKING:
    _AddressParam = click.ParamType[HostPort]
else:
    _AddressParam = click.ParamType


class AddressType(_AddressParam):
    """click's type for addresses."""

    name = "host:port"

    @override
    def convert(
        self, value: str | HostPort, param: click.Parameter | None, ctx: click.Context | None
    ) -> HostPort:
        """The parsed address; usage error otherwise."""
        if isinstance(value, HostPort):
            return value
        try:
            return parse_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


ADDRESS = AddressType()
