"""Whether a port or a display is free right now."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from sessiond.core.values import Lease, LeaseKind
from sessiond.launchers.sockets import SocketTable, UnixListener

X_PORT = 6000
LOCK_BYTES = 64
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PID = re.compile(rb"\s*(\d{1,10})\s*")


class LeaseTester:
    """Tests leases; see :class:`sessiond.ports.LeaseTest`.

    :param table: where listeners are looked up.
    :param temporary: where X servers keep their locks and sockets.
    """

    def __init__(self, table: SocketTable, temporary: Path = Path("/tmp")) -> None:  # noqa: S108 - X's own place
        self._table = table
        self._temporary = temporary

    def free(self, lease: Lease) -> bool:
        """Say whether it can be taken."""
        return can_bind(lease.number) if lease.kind is LeaseKind.PORT else self._display_free(lease.number)

    def _display_free(self, number: int) -> bool:
        """Say whether an X server could take a display, after what a dead one left there was removed."""
        lock = self._temporary / f".X{number}-lock"
        path = self._temporary / ".X11-unix" / f"X{number}"
        if listens(self._table.unix(), path) or self._on_tcp(X_PORT + number):
            return False
        if not clear_stale_lock(lock):
            return False
        return remove_own(path, stat.S_ISSOCK)

    def _on_tcp(self, port: int) -> bool:
        return any(listener.port == port for listener in self._table.tcp())


def can_bind(port: int) -> bool:
    """Say whether a strict bind succeeds: no SO_REUSEADDR, the wildcard address, IPv4 and dual-stack IPv6.

    It fails on a listener, on a connection that is still open and on TIME_WAIT.
    """
    return _binds(socket.AF_INET, "", port) and (not socket.has_dualstack_ipv6() or _binds(socket.AF_INET6, "::", port))


def ephemeral_ports(setting: Path = EPHEMERAL) -> tuple[int, int] | None:
    """Give the range, both ends included, that the kernel takes the ports of outgoing connections from (ip(7)).

    :return: ``None`` where the kernel does not say.
    """
    try:
        first, last = map(int, setting.read_text("ascii").split())
    except (OSError, ValueError):
        return None
    return first, last


def listens(listeners: list[UnixListener], path: Path) -> bool:
    """Say whether anybody listens under an X server's path, or its abstract twin (Xtrans makes both)."""
    name = os.fsencode(path)
    return any(listener.name in (name, b"\0" + name) for listener in listeners)


def clear_stale_lock(lock: Path) -> bool:
    """Say whether an X lock file is no hindrance: it is absent, or named a dead process and was removed."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        held = _PID.fullmatch(os.read(fd, LOCK_BYTES))
        before = os.fstat(fd)
    except OSError:
        return False
    finally:
        os.close(fd)
    if held is None or _is_alive(int(held[1])):
        return False
    # Another server may have taken the display just now; its lock is another file then.
    return _same_file(lock, before) and remove_own(lock, stat.S_ISREG)


def remove_own(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Remove a file if it is of the expected kind and ours to remove; says whether nothing is there any more.

    The folder is open to everybody, so what another user left is not touched (its sticky bit would stop anybody but
    root anyway).
    """
    try:
        found = path.lstat()
        if not is_kind(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
            return False
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    """Say whether there is a process of this number: any, as a lock holds no start time."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _same_file(path: Path, before: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), before)
    except OSError:
        return False


def _binds(family: socket.AddressFamily, address: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        try:
            if family is socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            tried.bind((address, port))
        except OSError:
            return False
    return True
