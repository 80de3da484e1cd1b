"""What ``/proc`` says about processes, and signals that reach the meant process or none."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from attrs import frozen

ZOMBIE = "Z"


@frozen
class Stat:
    """A process as one line of ``/proc/PID/stat`` shows it (proc(5)).

    :ivar started: start time in clock ticks since boot; with the pid, it names a process within one boot.
    :ivar memory_bytes: 0 once it has begun to end: from then on its environment reads as empty, though it takes a
        moment until it is a zombie and its children are handed on.
    """

    pid: int
    state: str
    parent: int
    group: int
    session: int
    started: int
    memory_bytes: int = 1

    @property
    def is_ending(self) -> bool:
        """Say whether it has ended, or can't do anything any more but end."""
        return self.state == ZOMBIE or self.memory_bytes == 0


def stat_of(pid: int) -> Stat | None:
    """Read a process's line; ``None`` when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may itself hold brackets and spaces: the last one ends it.
    fields = line.rpartition(b")")[2].split()
    if len(fields) < 21:  # the process went while it was read
        return None
    return Stat(pid, fields[0].decode(), *(int(fields[n]) for n in (1, 2, 3, 19, 20)))


def children_of(pid: int) -> list[int]:
    """List the children of all threads of a process, zombies included.

    For the caller's own children the list is complete: none leaves it before the caller has waited for it, and a new
    one comes at its end.
    """
    found: list[int] = []
    for thread in _names_in(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):  # the thread ended; its children are another one's now
            continue
    return found


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return []


def all_pids() -> list[int]:
    """List every process that this one may see."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def variable_of(pid: int, name: str) -> str | None:
    """Give a variable of the environment that a process was started with, ``None`` where it can't be read."""
    return variables_of(pid, (name,))[0]


def variables_of(pid: int, names: tuple[str, ...]) -> tuple[str | None, ...]:
    """Give several variables of a process's environment in one reading."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            block = b"\0" + file.read()
    except OSError:  # gone, a zombie (ESRCH), or another user's
        return (None,) * len(names)
    return tuple(_variable(block, name.encode()) for name in names)


def _variable(block: bytes, name: bytes) -> str | None:
    _, found, rest = block.partition(b"\0" + name + b"=")
    return rest.partition(b"\0")[0].decode(errors="replace") if found else None


def boot_id() -> str:
    """Give the identity of this boot, in which pids and start times have a meaning."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def send(pid: int, started: int, number: signal.Signals) -> bool:
    """Signal a process by its identity, never a stranger that got its pid.

    The descriptor is opened first and the start time read then: if that is right, the descriptor is the process's.

    :returns: whether it was signalled.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        stat = stat_of(pid)
        if stat is None or stat.started != started:
            return False
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    else:
        return True
    finally:
        os.close(pidfd)
