"""Files are looked at when they grow, and no more often than every pause allows."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.task import Clock

from sessiond.clock import SteadyClock
from sessiond.launchers.inotify import LOST_S, PAUSE_S, GrowthWatch


class Readers:
    """A reactor's set of readers."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        """Add one."""
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        """Remove one."""
        self.readers.discard(reader)


@define
class File:
    """A file that counts how often it is looked at."""

    path: Path
    looks: int = 0
    size: int = 0
    found: list[int] = field(factory=list)

    def look(self) -> bool:
        """Look at its size."""
        self.looks += 1
        before, self.size = self.size, self.path.stat().st_size if self.path.exists() else 0
        return self.size != before

    def grow(self) -> None:
        """Add a line."""
        with self.path.open("a") as file:
            file.write("a line\n")


class World:
    """A watch, its time and its events."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reactor = Readers()
        self.watch = GrowthWatch(
            self.reactor,  # type: ignore[arg-type]
            SteadyClock(self.clock, self.clock.seconds, 0.0),
        )

    def turn(self) -> bool:
        """Read the events that wait, as a reactor does; says whether there were any."""
        readable, _, _ = select.select([self.watch], [], [], 0)
        if readable:
            self.watch.doRead()
        return bool(readable)


@pytest.fixture
def world() -> Iterator[World]:
    """Give a watch that is closed afterwards."""
    world = World()
    yield world
    world.watch.close()
    assert world.reactor.readers == set()
    assert world.clock.getDelayedCalls() == []


@pytest.fixture
def file(tmp_path: Path) -> File:
    """Give an empty file."""
    path = tmp_path / "output"
    path.touch()
    return File(path)


def test_quiet_file_costs_nothing(world: World, file: File) -> None:
    """A file that does not grow is looked at once and again when it was armed, and waits without a timer."""
    world.watch.watch(file.path, file.look)
    world.clock.advance(PAUSE_S)
    assert file.looks == 2
    assert world.clock.getDelayedCalls() == []
    assert not world.turn()


def test_growth_is_seen_at_once(world: World, file: File) -> None:
    """The event itself leads to a look, without any time passing."""
    world.watch.watch(file.path, file.look)
    world.clock.advance(PAUSE_S)
    file.grow()
    assert world.turn()
    assert file.size > 0


def test_busy_file_is_looked_at_by_the_clock(world: World, file: File) -> None:
    """However much is written, there is one look in a pause, and no event is even queued."""
    world.watch.watch(file.path, file.look)
    world.clock.advance(PAUSE_S)
    looks = file.looks
    for _ in range(10):
        for _ in range(100):
            file.grow()
            world.turn()
        world.clock.advance(PAUSE_S)
    assert file.looks - looks <= 11
    for _ in range(3):
        world.clock.advance(PAUSE_S)
    assert world.clock.getDelayedCalls() == []
    looks = file.looks
    file.grow()
    assert world.turn()
    assert file.looks > looks


def test_growth_between_look_and_arming(world: World, file: File) -> None:
    """What is written while the watch is being armed is not missed."""

    def look() -> bool:
        grew = file.look()
        if file.looks == 1:
            file.grow()
        return grew

    world.watch.watch(file.path, look)
    world.clock.advance(PAUSE_S)
    assert file.size > 0


def test_dropped_in_its_own_look(world: World, file: File) -> None:
    """A look may end its own watch."""

    def look() -> bool:
        world.watch.drop(watched)
        return True

    watched = world.watch.watch(file.path, look)
    world.clock.advance(PAUSE_S)
    world.watch.drop(watched)
    file.grow()
    assert not world.turn()
    assert world.clock.getDelayedCalls() == []


def test_file_that_is_gone(world: World, file: File) -> None:
    """A file that is not there is looked for now and then."""
    file.path.unlink()
    world.watch.watch(file.path, file.look)
    world.clock.advance(PAUSE_S)
    file.grow()
    world.clock.advance(LOST_S)
    assert file.size > 0


def test_lost_events(world: World, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel says that events were lost, every waiting file is looked at."""
    from sessiond.launchers import inotify

    world.watch.watch(file.path, file.look)
    world.clock.advance(PAUSE_S)
    looks = file.looks
    event = inotify.EVENT.pack(-1, inotify.IN_Q_OVERFLOW, 0, 0)
    monkeypatch.setattr(os, "read", lambda fd, most: event)
    world.watch.doRead()
    assert file.looks > looks


def test_two_files(world: World, file: File, tmp_path: Path) -> None:
    """Each file has its own looks."""
    other = File(tmp_path / "other")
    other.path.touch()
    for each in (file, other):
        world.watch.watch(each.path, each.look)
    world.clock.advance(PAUSE_S)
    looks = file.looks
    other.grow()
    assert world.turn()
    assert file.looks == looks
    assert other.size > 0
