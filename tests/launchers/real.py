"""What tests with real children share: a launcher on the real reactor, the little programs, free ports, patience."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from sessiond.clock import SteadyClock
from sessiond.core.services import Service
from sessiond.core.session import Session
from sessiond.entropy import SystemEntropy
from sessiond.launchers.leases import can_bind
from sessiond.launchers.process import ProcessLauncher
from sessiond.launchers.procfs import all_pids, children_of, stat_of, variable_of
from sessiond.launchers.reaping import Reaper
from tests.contracts.launcher import make_service, session_named
from tests.ports import OWN, base

PROGRAMS = Path(__file__).parent / "programs"
SETTLE_S = 0.15
INSTANCE = f"tested-{os.getpid()}"
"""Marks the children of this run of the tests; another may go on beside it."""

_ports = itertools.cycle(range(base(), base() + OWN))
for _ in range(os.getpid() * 7 % OWN):
    next(_ports)


def program(name: str, *arguments: str) -> tuple[str, ...]:
    """Give the command that runs one of the little programs."""
    return (sys.executable, "-S", str(PROGRAMS / f"{name}.py"), *arguments)


def free_port() -> int:
    """Give a port that nothing has, and that no outgoing connection takes by itself."""
    return next(port for port in itertools.islice(_ports, OWN) if can_bind(port))


async def until(holds: Callable[[], bool]) -> None:
    """Let the reactor run until something holds; the test's own limit ends the wait."""
    from twisted.internet import reactor

    while not holds():
        await deferLater(reactor, 0.005)


def marked(nonce: str) -> list[int]:
    """List the living processes that carry a launch's nonce."""
    pids = [pid for pid in all_pids() if variable_of(pid, "SESSIOND_NONCE") == nonce]
    return [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    """Say whether there is such a process; a zombie is none."""
    stat = stat_of(pid)
    return stat is not None and stat.state != "Z"


class RealBench:
    """A process launcher in a folder of its own, on the real reactor."""

    has_program = True

    def __init__(self, runtime: Path) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.runtime = runtime
        self.clock = SteadyClock(self.reactor)
        self._numbers = itertools.count(1)
        self._strangers = set(children_of(os.getpid()))
        self.reaper = Reaper(self.reactor)
        self.reaper.open()
        self.launcher = self._new()

    def children(self) -> set[int]:
        """List the children of this process that came since, zombies included."""
        return set(children_of(os.getpid())) - self._strangers

    def _new(self) -> ProcessLauncher:
        return ProcessLauncher(
            self.reactor, self.clock, self.runtime, self.reaper, instance=INSTANCE, nonce=SystemEntropy().nonce
        )

    def service(self, behaviour: str) -> Service:
        """Give a service whose children behave as the contract names it."""
        commands = {
            "prompt": program("serve", "tcp", "${port}"),
            "never-ready": program("wait"),
            "dying": program("die", "1"),
            "stubborn": program("serve", "tcp", "${port}", "stubborn"),
            "missing": ("no-such-program",),
        }
        return make_service(command=commands[behaviour])

    def session(self, behaviour: str = "") -> Session:
        """Make a session with a free port."""
        return session_named(f"demo-{next(self._numbers)}", free_port())

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let the reactor run until something holds."""
        await until(holds)

    async def settle(self) -> None:
        """Let enough time pass for what was begun to show."""
        await deferLater(self.reactor, SETTLE_S)

    async def turn(self) -> None:
        """Let the reactor do what is due."""
        await deferLater(self.reactor, 0.005)

    def restart(self) -> None:
        """Begin anew with nothing in memory."""
        self.launcher.close()
        self.reaper.close()
        self.reaper = Reaper(self.reactor)
        self.reaper.open()
        self.launcher = self._new()

    def close(self) -> None:
        """Let go of the reactor."""
        self.launcher.close()
        self.reaper.close()
