"""Time that never steps."""

from __future__ import annotations

import time
from typing import Any

import pytest
from twisted.internet.base import ReactorBase

from sessiond.clock import SteadyClock, keep_steady


class Idle(ReactorBase):
    """A reactor that waits for nothing."""

    def installWaker(self) -> None:
        """Need none."""

    def removeAll(self) -> list[Any]:
        """Have none."""
        return []


class Wall:
    """A wall clock that somebody sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.step_s = 0.0
        self.monotonic_s = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic_s)

    def seconds(self) -> float:
        """Give wall time."""
        return 1e9 + self.monotonic_s + self.step_s


@pytest.mark.parametrize("step_s", [-86400.0, 86400.0])
def test_a_reactor_that_is_kept_steady(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    """Calls come when they are due, those too that were pending before, however the wall clock is set meanwhile."""
    wall, reactor, came = Wall(monkeypatch), Idle(), list[str]()
    reactor.seconds = wall.seconds
    reactor.callLater(10.0, came.append, "before")
    keep_steady(reactor)
    reactor.callLater(20.0, came.append, "after")
    wall.step_s = step_s
    for passed, expected in ((5.0, []), (5.5, ["before"]), (5.0, ["before"]), (5.0, ["before", "after"])):
        wall.monotonic_s += passed
        reactor.runUntilCurrent()
        assert came == expected


def test_now_goes_on_from_wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock begins at wall time, and then only counts what passes."""
    wall = Wall(monkeypatch)
    monkeypatch.setattr(time, "time", wall.seconds)
    clock = SteadyClock(Idle(), lambda: wall.monotonic_s)
    wall.step_s, wall.monotonic_s = 86400.0, 1007.0
    assert clock.now() == 1e9 + 1007.0
