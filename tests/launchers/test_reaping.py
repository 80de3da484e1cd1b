"""The reaper: every child is waited for, and no status goes astray."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from twisted.internet import process
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from sessiond.core.values import Program
from sessiond.launchers.reaping import SWEEP_KEY, Reaper
from tests.launchers.real import RealBench, until
from tests.reactor import within

LIMIT_S = 60.0

ORPHAN_AND_END = "import os,sys; os.fork() or os._exit(0) if os.fork() == 0 else os.wait(); sys.exit(int(sys.argv[1]))"


class Ended(ProcessProtocol):
    """Keeps the status of a process that another part of the daemon has started."""

    def __init__(self) -> None:
        self.code: int | None = None

    def processEnded(self, reason: Failure) -> None:
        """Keep it."""
        value: Any = reason.value
        self.code = value.exitCode


@within(LIMIT_S)
async def test_no_status_astray(real: RealBench) -> None:
    """Children of other parts end together with orphans: each gets its own status, and no zombie is left."""
    reactor: Any = real.reactor
    ended = []
    for number in range(20):
        protocol = Ended()
        argv = [sys.executable, "-S", "-c", ORPHAN_AND_END, str(number)]
        reactor.spawnProcess(protocol, argv[0], argv, env={}, childFDs={})
        ended.append(protocol)
    await until(lambda: all(protocol.code is not None for protocol in ended))
    assert [protocol.code for protocol in ended] == list(range(20))
    await until(lambda: not real.children())


def test_open_and_closed() -> None:
    """A closed reaper has no entry in Twisted's table, waits for nobody and schedules nothing."""
    clock = Clock()
    reaper = Reaper(clock)
    reaper.open()
    assert SWEEP_KEY in process.reapProcessHandlers
    reaper.reapProcess()
    reaper.close()
    reaper.close()
    reaper.reapProcess()
    reaper.exited(1)
    assert SWEEP_KEY not in process.reapProcessHandlers
    assert clock.getDelayedCalls() == []


def test_unknown_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without lists of children is refused at the start."""
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    with pytest.raises(OSError, match="CONFIG_PROC_CHILDREN"):
        Reaper(Clock()).open()


def test_felled_once() -> None:
    """A tree whose main process was waited for already is told to be empty, once, and then killed in vain."""
    clock = Clock()
    reaper = Reaper(clock)
    reaper.open()
    emptied: list[bool] = []
    tree = reaper.plant(Program(2**22 + 1, 1, "boot"), "nonce", lambda: emptied.append(True))
    reaper.exited(2**22 + 1)
    clock.advance(0)
    reaper.kill(tree)
    reaper.reapProcess()
    clock.advance(0)
    reaper.close()
    assert emptied == [True]
    assert clock.getDelayedCalls() == []
