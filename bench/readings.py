"""What the kernel tells of a process and its children (proc_pid_stat(5), proc_pid_smaps(5))."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Give a process and all that descends from it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        for listed in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                waiting += [int(child) for child in listed.read_text().split()]
            except OSError:
                continue  # it is gone: its thread, or the process
    return found


def cpu_s(pid: int) -> float:
    """Give the seconds of CPU time that a process and its children, living and waited for, have used so far."""
    return sum(_own_cpu_s(one, with_reaped=one == pid) for one in tree(pid))


def _own_cpu_s(pid: int, *, with_reaped: bool) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    # Behind the name, which may hold anything: state is field 3, so utime (14) is the twelfth from here.
    fields = text.rpartition(")")[2].split()
    used = fields[11:15] if with_reaped else fields[11:13]
    return sum(map(int, used)) / TICKS


def pss_kib(pid: int) -> int:
    """Give a process's memory in KiB, with its share of what it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise LookupError(f"no Pss of {pid}")
