"""From an address on the command line to listening sockets."""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import socket as stdlib_socket
from collections.abc import Sequence

import trio
from typing_extensions import override

from paddler.balancer.http_edge.errors import AddressInUse, ListenFailed
from paddler.balancer.http_edge.limits import EdgeLimits

_BACKLOG = 1024


@dataclasses.dataclass(frozen=True)
class ListenAddress:
    """`host` and `port` (0: any free one), and the flag that named them."""

    flag: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it, as far as `host` tells."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @override
    def __str__(self) -> str:
        return format_address(self.host, self.port)


@dataclasses.dataclass(frozen=True)
class Listeners:
    """Listening sockets of one service; whoever opened them closes them."""

    sockets: Sequence[trio.SocketListener]
    addresses: Sequence[tuple[str, int]]

    @property
    def port(self) -> int:
        """The port, which all addresses share."""
        return self.addresses[0][1]

    def close(self) -> None:
        """Stop listening."""
        for listener in self.sockets:
            listener.socket.close()


def format_address(host: str, port: int) -> str:
    """`host:port`, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def open_listeners(address: ListenAddress, limits: EdgeLimits) -> Listeners:
    """Listen on every address that `address.host` resolves to.

    Raises:
        AddressInUse: Another program listens there.
        ListenFailed: The name does not resolve, or the address is not ours.
    """
    try:
        found = await trio.socket.getaddrinfo(
            address.host,
            address.port,
            type=trio.socket.SOCK_STREAM,
            flags=trio.socket.AI_PASSIVE,
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenFailed(address.flag, str(address), reason) from None
    opened: list[trio.SocketListener] = []
    bound: list[tuple[str, int]] = []
    failure: OSError | None = None
    try:
        for family, kind, protocol, _, target in dict.fromkeys(found):
            # All addresses of a name share the port that the first one got.
            port = bound[0][1] if bound else address.port
            sock = trio.socket.socket(family, kind, protocol)
            try:
                await _prepare(sock, limits)
                await sock.bind((target[0], port, *target[2:]))
                sock.listen(_BACKLOG)
            except OSError as error:
                sock.close()
                failure = error
                if error.errno == errno.EADDRINUSE:
                    raise AddressInUse(address.flag, str(address)) from None
                continue
            opened.append(trio.SocketListener(sock))
            name = sock.getsockname()
            bound.append((str(name[0]), int(name[1])))
        if not opened:
            reason = (failure.strerror if failure else None) or "no usable address"
            raise ListenFailed(address.flag, str(address), reason)
    except BaseException:
        for listener in opened:
            listener.socket.close()
        raise
    return Listeners(opened, bound)


async def _prepare(sock: trio.socket.SocketType, limits: EdgeLimits) -> None:
    """Set what accepted sockets inherit."""
    sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
    sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
    if sock.family == stdlib_socket.AF_INET6:
        sock.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, 1)
    if limits.send_buffer_bytes:
        sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, limits.send_buffer_bytes)
    if hasattr(stdlib_socket, "TCP_USER_TIMEOUT"):
        # What the kernel still holds for a client that stopped reading or
        # vanished is thrown away after this time, also after we closed.
        sock.setsockopt(
            stdlib_socket.IPPROTO_TCP,
            stdlib_socket.TCP_USER_TIMEOUT,
            round(limits.write_timeout_s * 1000),
        )
