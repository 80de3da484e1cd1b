"""Reading /proc, and signals that never reach a stranger."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessiond.launchers.procfs import (
    all_pids,
    children_of,
    send,
    stat_of,
    variable_of,
    variables_of,
)

NOBODY = 2**22 + 1
"""No process has this pid: it is above the kernel's limit."""


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Give the pid of a process that does nothing."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def test_stat_of_self() -> None:
    """A process's own line says what the system calls say."""
    stat = stat_of(os.getpid())
    assert stat is not None
    assert (stat.parent, stat.group, stat.session) == (os.getppid(), os.getpgrp(), os.getsid(0))
    assert stat.state in "RS"
    assert stat.started > 0


def test_stat_of_strange_name() -> None:
    """A name with brackets and spaces confuses nothing."""
    name = Path("/proc/self/comm")
    usual = name.read_text()
    before = stat_of(os.getpid())
    name.write_text("a) Z 1 (b")
    try:
        found = stat_of(os.getpid())
    finally:
        name.write_text(usual)
    assert before is not None
    assert found is not None
    assert (found.parent, found.started) == (before.parent, before.started)


def test_nobody() -> None:
    """Of a process that is not there nothing is read, and it is not signalled."""
    assert stat_of(NOBODY) is None
    assert children_of(NOBODY) == []
    assert variables_of(NOBODY, ("A", "B")) == (None, None)
    assert not send(NOBODY, 1, signal.SIGKILL)


def test_children(sleeper: int) -> None:
    """Children are listed, and among all processes too."""
    assert sleeper in children_of(os.getpid())
    assert {sleeper, os.getpid()} <= set(all_pids())


def test_variables() -> None:
    """A variable is found by its whole name, in the environment a process was started with."""
    name, value = next((n, v) for n, v in os.environ.items() if n == "PATH")
    assert variable_of(os.getpid(), name) == value
    assert variable_of(os.getpid(), name[1:]) is None
    assert variable_of(os.getpid(), name[:-1]) is None


def test_signal_by_identity(sleeper: int) -> None:
    """A signal reaches the process with the right start time and no other."""
    stat = stat_of(sleeper)
    assert stat is not None
    assert not send(sleeper, stat.started - 1, signal.SIGKILL)
    assert not send(sleeper, stat.started + 1, signal.SIGKILL)
    assert os.waitid(os.P_PID, sleeper, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    assert send(sleeper, stat.started, signal.SIGTERM)
    ended = os.waitid(os.P_PID, sleeper, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert ended.si_status == signal.SIGTERM
