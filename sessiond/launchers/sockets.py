"""Who listens where: the kernel's own table of listening sockets, and which process has one of them.

NETLINK_SOCK_DIAG (sock_diag(7)) gives listeners alone, in 33 µs at any number of connections; ``/proc/net/tcp`` is
30 ms at 18,000 sockets. Nothing here ever connects: a probe may be taken for a program's one client.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator

from attrs import frozen

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST_DUMP = 0x301
NLMSG_ERROR = 2
NLMSG_DONE = 3
LISTEN = 1 << 10
INET_DIAG_SKV6ONLY = 11
UDIAG_SHOW_NAME = 1
UNIX_DIAG_NAME = 0

HEADER = struct.Struct("=IHHII")
INET_REQUEST = struct.Struct("=BBBBI48x")
INET_ANSWER = struct.Struct("=BBBB2s2s16s16s4x8xIIIII")
UNIX_REQUEST = struct.Struct("=BBHIII8x")
UNIX_ANSWER = struct.Struct("=BBBBI8x")
ATTRIBUTE = struct.Struct("=HH")

ANSWER_BYTES = 256 * 1024
ANSWERS_MOST = 1000
WAIT_S = 1.0


@frozen
class TcpListener:
    """A TCP socket that listens.

    :ivar address: the packed address, 4 or 16 bytes; all zero for the wildcard.
    :ivar v6_only: of an IPv6 socket: it takes no IPv4 connections.
    """

    port: int
    address: bytes
    inode: int
    v6_only: bool = False


@frozen
class UnixListener:
    """A UNIX socket that listens; the name as it was bound, with a NUL in front where it is abstract."""

    name: bytes
    inode: int


class SocketTable:
    """Reads the listening sockets of the daemon's network namespace."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
        self._netlink.settimeout(WAIT_S)  # the answer waits before the request returns; only a fault lasts
        self._number = 0

    def close(self) -> None:
        """Let go of the socket."""
        self._netlink.close()

    def tcp(self) -> list[TcpListener]:
        """List the TCP sockets that listen, of IPv4 and IPv6.

        :raises OSError: the kernel gives no answer.
        """
        found = []
        for family in (socket.AF_INET, socket.AF_INET6):
            request = INET_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, LISTEN)
            found += [_tcp_listener(answer) for answer in self._dump(request)]
        return found

    def unix(self) -> list[UnixListener]:
        """List the UNIX sockets that listen.

        :raises OSError: the kernel gives no answer.
        """
        request = UNIX_REQUEST.pack(socket.AF_UNIX, 0, 0, LISTEN, 0, UDIAG_SHOW_NAME)
        return [_unix_listener(answer) for answer in self._dump(request)]

    def _dump(self, request: bytes) -> Iterator[bytes]:
        self._number += 1
        header = HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, self._number, 0)
        self._netlink.sendto(header + request, (0, 0))
        for _ in range(ANSWERS_MOST):
            for kind, number, body in _messages(self._netlink.recv(ANSWER_BYTES)):
                if number != self._number:  # left from a dump that was given up
                    continue
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", body)[0], "NETLINK_SOCK_DIAG")
                yield body
        raise OSError("the table of sockets has no end")


def reached_at(listeners: Iterable[TcpListener], address: str, port: int) -> frozenset[int]:
    """Give the inodes of the sockets that a connection to an IPv4 address would reach.

    The kernel prefers the most exact one: bound to the address, then to any IPv4 address, then to ``::`` if that
    takes IPv4 too. Several of equal rank share the connections (SO_REUSEPORT).
    """
    ranks: dict[int, set[int]] = {}
    for listener in listeners:
        rank = _rank(listener, socket.inet_aton(address)) if listener.port == port else None
        if rank is not None:
            ranks.setdefault(rank, set()).add(listener.inode)
    return frozenset(ranks[min(ranks)]) if ranks else frozenset()


def named(listeners: Iterable[UnixListener], path: str) -> frozenset[int]:
    """Give the inodes of the sockets that listen under a path; more than one where one file was replaced."""
    name = os.fsencode(path)
    return frozenset(listener.inode for listener in listeners if listener.name == name)


def held_by(pid: int) -> frozenset[int]:
    """Give the inodes of the sockets that a process has open.

    :raises PermissionError: it is another user's.
    """
    found = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return frozenset(found)


def _rank(listener: TcpListener, address: bytes) -> int | None:
    if len(listener.address) == 4:
        return {address: 0, bytes(4): 1}.get(listener.address)
    if listener.address == bytes(10) + b"\xff\xff" + address:
        return 0
    return 2 if listener.address == bytes(16) and not listener.v6_only else None


def _messages(block: bytes) -> Iterator[tuple[int, int, bytes]]:
    place = 0
    while place + HEADER.size <= len(block):
        length, kind, _, number, _ = HEADER.unpack_from(block, place)
        if length < HEADER.size:
            return
        yield kind, number, block[place + HEADER.size : place + length]
        place += (length + 3) & ~3


def _attributes(block: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + ATTRIBUTE.size <= len(block):
        length, kind = ATTRIBUTE.unpack_from(block, place)
        if length < ATTRIBUTE.size:
            return
        yield kind, block[place + ATTRIBUTE.size : place + length]
        place += (length + 3) & ~3


def _tcp_listener(answer: bytes) -> TcpListener:
    fields = INET_ANSWER.unpack_from(answer)
    attributes = dict(_attributes(answer[INET_ANSWER.size :]))
    address = fields[6][:4] if fields[0] == socket.AF_INET else fields[6]
    v6_only = attributes.get(INET_DIAG_SKV6ONLY, b"\0")[:1] != b"\0"
    return TcpListener(int.from_bytes(fields[4], "big"), address, fields[12], v6_only)


def _unix_listener(answer: bytes) -> UnixListener:
    inode = UNIX_ANSWER.unpack_from(answer)[4]
    name = dict(_attributes(answer[UNIX_ANSWER.size :])).get(UNIX_DIAG_NAME, b"")
    # A path is given with its final NUL by some kernels; an abstract name begins with one and may hold more.
    return UnixListener(name if name[:1] == b"\0" else name.rstrip(b"\0"), inode)
