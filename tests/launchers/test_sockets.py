"""The kernel's table of listening sockets, with real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessiond.launchers.sockets import SocketTable, TcpListener, held_by, named, reached_at

ANY4, ANY6 = bytes(4), bytes(16)
LOOPBACK = socket.inet_aton("127.0.0.1")
MAPPED = bytes(10) + b"\xff\xff" + LOOPBACK


@pytest.fixture
def table() -> Iterator[SocketTable]:
    """Give the table."""
    table = SocketTable()
    yield table
    table.close()


def inode(listener: socket.socket) -> int:
    """Give a socket's inode."""
    return os.fstat(listener.fileno()).st_ino


@pytest.mark.parametrize(
    ("family", "address", "v6_only", "reached"),
    [
        (socket.AF_INET, "127.0.0.1", None, True),
        (socket.AF_INET, "0.0.0.0", None, True),
        (socket.AF_INET, "127.0.0.2", None, False),
        (socket.AF_INET6, "::", 0, True),
        (socket.AF_INET6, "::", 1, False),
        (socket.AF_INET6, "::1", 0, False),
        (socket.AF_INET6, "::ffff:127.0.0.1", 0, True),
    ],
)
def test_tcp(table: SocketTable, family: int, address: str, v6_only: int | None, reached: bool) -> None:
    """A listener counts if, and only if, it listens and a connection to 127.0.0.1 would reach it."""
    with socket.socket(family) as listener:
        if v6_only is not None:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
        listener.bind((address, 0))
        port = listener.getsockname()[1]
        assert reached_at(table.tcp(), "127.0.0.1", port) == frozenset()
        listener.listen()
        found = reached_at(table.tcp(), "127.0.0.1", port)
        assert found == ({inode(listener)} if reached else frozenset())
    assert reached_at(table.tcp(), "127.0.0.1", port) == frozenset()


@pytest.mark.parametrize(
    ("addresses", "reached"),
    [
        ([LOOPBACK, ANY4, ANY6], {0}),
        ([ANY6, ANY4], {1}),
        ([ANY6, MAPPED], {1}),
        ([ANY4, ANY4], {0, 1}),
        ([], set()),
    ],
)
def test_most_exact_is_reached(addresses: list[bytes], reached: set[int]) -> None:
    """Of several listeners on a port the most exact one gets the connection, equal ones share."""
    listeners = [TcpListener(5, address, number) for number, address in enumerate(addresses)]
    assert reached_at([*listeners, TcpListener(6, LOOPBACK, 99)], "127.0.0.1", 5) == reached


def test_unix(table: SocketTable, tmp_path: Path) -> None:
    """A UNIX socket counts by its path, once it listens; an abstract one has a NUL in front."""
    path = str(tmp_path / "a socket")
    abstract = f"\0sessiond-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as hidden:
        listener.bind(path)
        assert named(table.unix(), path) == frozenset()
        listener.listen()
        hidden.bind(abstract)
        hidden.listen()
        assert named(table.unix(), path) == {inode(listener)}
        assert named(table.unix(), abstract) == {inode(hidden)}
        assert named(table.unix(), path + "x") == frozenset()


def test_many(table: SocketTable) -> None:
    """A table that comes in many pieces is read to its end."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(300)]
    try:
        inodes = {listener.inode for listener in table.tcp()}
        assert {inode(listener) for listener in listeners} <= inodes
    finally:
        for listener in listeners:
            listener.close()


def test_holders() -> None:
    """A process's sockets are listed, and those of a process that is not there are none."""
    with socket.socket() as held:
        number = inode(held)
        assert number in held_by(os.getpid())
    assert number not in held_by(os.getpid())
    assert held_by(2**22 + 1) == frozenset()
