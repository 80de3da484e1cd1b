"""A lease is free only if whoever gets it can have it at once."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessiond.core.values import Lease, LeaseKind
from sessiond.launchers.leases import LeaseTester, ephemeral_ports
from sessiond.launchers.sockets import SocketTable
from tests.launchers.real import free_port

DISPLAY = 913
DEAD = 2**22 + 1


@pytest.fixture
def tester(tmp_path: Path) -> Iterator[LeaseTester]:
    """Give a tester that looks for X servers in a folder of its own."""
    (tmp_path / ".X11-unix").mkdir()
    table = SocketTable()
    yield LeaseTester(table, tmp_path)
    table.close()


def port(number: int) -> Lease:
    """Make a lease of a port."""
    return Lease(LeaseKind.PORT, number)


def display() -> Lease:
    """Make a lease of a display."""
    return Lease(LeaseKind.DISPLAY, DISPLAY)


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, "127.0.0.9"),
        (socket.AF_INET, "0.0.0.0"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET6, "::"),
    ],
)
def test_port_in_use(tester: LeaseTester, family: int, address: str) -> None:
    """A port is taken whatever address it is used on, and whether it listens yet or not."""
    number = free_port()
    assert tester.free(port(number))
    with socket.socket(family) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((address, number))
        assert not tester.free(port(number))
        taken.listen()
        assert not tester.free(port(number))
    assert tester.free(port(number))


def test_port_of_an_outgoing_connection(tester: LeaseTester) -> None:
    """A port that a connection goes out from is taken."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert not tester.free(port(client.getsockname()[1]))


def test_port_in_time_wait(tester: LeaseTester) -> None:
    """A port is taken while an old connection of its server waits; a reset ends that wait."""
    number = free_port()
    for is_reset in (True, False):
        with socket.create_server(("127.0.0.1", number)) as server:
            client = socket.create_connection(("127.0.0.1", number))
            served, _ = server.accept()
            served.shutdown(socket.SHUT_WR)  # the server closes first
            assert client.recv(1) == b""
            if is_reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            if not is_reset:
                assert served.recv(1) == b""
            served.close()
        assert tester.free(port(number)) is is_reset


@pytest.mark.skipif(os.geteuid() == 0, reason="root may bind every port")
def test_port_that_is_not_allowed(tester: LeaseTester) -> None:
    """A port that may not be bound is not free, and no error."""
    assert not tester.free(port(1))


def test_display(tester: LeaseTester) -> None:
    """A display that nobody uses is free."""
    assert tester.free(display())


@pytest.mark.parametrize("is_abstract", [False, True])
def test_display_in_use(tester: LeaseTester, tmp_path: Path, is_abstract: bool) -> None:
    """A display is taken while a server listens at its path or under its abstract name; its socket is left alone."""
    path = str(tmp_path / ".X11-unix" / f"X{DISPLAY}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + path if is_abstract else path)
        server.listen()
        assert not tester.free(display())
        assert is_abstract or os.path.exists(path)
    assert tester.free(display())


def test_display_on_tcp(tester: LeaseTester) -> None:
    """A display is taken while its TCP port listens."""
    with socket.create_server(("127.0.0.1", 6000 + DISPLAY)):
        assert not tester.free(display())


def test_stale_display(tester: LeaseTester, tmp_path: Path) -> None:
    """What a dead server has left is removed."""
    lock, path = tmp_path / f".X{DISPLAY}-lock", tmp_path / ".X11-unix" / f"X{DISPLAY}"
    lock.write_text(f"{DEAD:>10}\n")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert tester.free(display())
    assert not lock.exists()
    assert not path.exists()


@pytest.mark.parametrize("content", ["{own:>10}\n", "", "no number\n", "  -1\n"])
def test_lock_that_counts(tester: LeaseTester, tmp_path: Path, content: str) -> None:
    """A lock of a living process, or one that can't be read, is respected."""
    lock = tmp_path / f".X{DISPLAY}-lock"
    lock.write_text(content.format(own=os.getpid()))
    assert not tester.free(display())
    assert lock.exists()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_lock_that_is_none(tester: LeaseTester, tmp_path: Path, kind: str) -> None:
    """What is no regular file is not followed, waited for or removed."""
    lock = tmp_path / f".X{DISPLAY}-lock"
    stale = tmp_path / "stale"
    stale.write_text(f"{DEAD:>10}\n")
    if kind == "link":
        lock.symlink_to(stale)
    elif kind == "fifo":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    begun = time.monotonic()
    assert not tester.free(display())
    assert time.monotonic() - begun < 10
    assert lock.is_symlink() or lock.exists()


def test_file_in_the_socket_s_place(tester: LeaseTester, tmp_path: Path) -> None:
    """What stands in the socket's place and is none is not removed."""
    path = tmp_path / ".X11-unix" / f"X{DISPLAY}"
    path.write_text("precious")
    assert not tester.free(display())
    assert path.read_text() == "precious"


def test_ephemeral_ports(tmp_path: Path) -> None:
    """The kernel says where it takes the ports of outgoing connections from; where it does not, nobody knows."""
    found = ephemeral_ports()
    assert found is not None
    assert 0 < found[0] < found[1] < 65536
    setting = tmp_path / "range"
    assert ephemeral_ports(setting) is None
    setting.write_text("32768\t60999\n")
    assert ephemeral_ports(setting) == (32768, 60999)
    setting.write_text("nonsense")
    assert ephemeral_ports(setting) is None
