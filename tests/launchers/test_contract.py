"""Every launcher keeps to the contract of its port; the fakes too."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from sessiond.core.services import FixedTarget, Service
from sessiond.core.session import Session
from sessiond.launchers.fixed import FixedLauncher
from tests.contracts.launcher import LauncherContract, make_service, session_named
from tests.fakes.launchers import DiesAtOnce, FailsToStart, FakeLauncher, IgnoresTerm, NeverReady, Prompt, Script
from tests.launchers.real import RealBench

SCRIPTS: dict[str, Script] = {
    "prompt": Prompt(),
    "never-ready": NeverReady(),
    "dying": DiesAtOnce(),
    "stubborn": IgnoresTerm(),
    "missing": FailsToStart(),
}


class FakeBench:
    """Fake children on a Clock."""

    has_program = True

    def __init__(self) -> None:
        self.clock = Clock()
        self.launcher = FakeLauncher(self.clock)
        self._numbers = itertools.count(1)

    def service(self, behaviour: str) -> Service:
        """Give the one service; what its children do is their script's."""
        return make_service()

    def session(self, behaviour: str) -> Session:
        """Make a session with a script."""
        session = session_named(f"demo-{next(self._numbers)}")
        self.launcher.scripts[session.id] = SCRIPTS[behaviour]
        return session

    async def until(self, holds: Callable[[], bool]) -> None:
        """Advance the clock until something holds."""
        for _ in range(100):
            if holds():
                return
            self.clock.advance(0.1)
        pytest.fail("it never comes")

    async def settle(self) -> None:
        """Let time pass."""
        self.clock.pump([0.1] * 10)

    def restart(self) -> None:
        """Have the children talk to nobody."""
        self.launcher.forget_daemon()


class FixedBench(FakeBench):
    """No children at all."""

    has_program = False

    def __init__(self) -> None:
        super().__init__()
        self.launcher: Any = FixedLauncher()

    def service(self, behaviour: str) -> Service:
        """Give a service with a target, or with none."""
        return make_service(target=FixedTarget(port=5900) if behaviour == "prompt" else None)

    def session(self, behaviour: str) -> Session:
        """Make a session."""
        return session_named("demo-1")

    def restart(self) -> None:
        """Forget."""
        self.launcher = FixedLauncher()


class TestFakeLauncher(LauncherContract):
    """The fake of the broker's tests."""

    @pytest.fixture
    def bench(self) -> FakeBench:
        """Give fake children."""
        return FakeBench()


class TestFixedLauncher(LauncherContract):
    """Endpoints without programs: what only programs do can't happen."""

    test_kill_before_ready = test_dies = test_ignores_term = None  # type: ignore[assignment]

    @pytest.fixture
    def bench(self) -> FixedBench:
        """Give no children."""
        return FixedBench()


class TestProcessLauncher(LauncherContract):
    """Real children."""

    @pytest.fixture
    def bench(self, real: RealBench) -> RealBench:
        """Give real children."""
        return real
