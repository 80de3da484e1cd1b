"""When a program counts as ready, with a made-up table of sockets on a Clock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from sessiond.clock import SteadyClock
from sessiond.core.values import Endpoint, Tcp, Unix
from sessiond.launchers import readiness
from sessiond.launchers.output import OutputFile
from sessiond.launchers.readiness import STRANGER_LOOKS, TICK_S, LineSought, Lookout, Sight, socket_path_fits
from sessiond.launchers.sockets import TcpListener, UnixListener

PORT = 11000
HERE = Tcp("127.0.0.1", PORT)
CHILD, STRANGER = 100, 200
OUR_SOCKET, THEIR_SOCKET = 1, 2


class Table:
    """A table of sockets that counts how often it is read."""

    def __init__(self) -> None:
        self.listeners: list[TcpListener] = []
        self.unix_listeners: list[UnixListener] = []
        self.reads: list[str] = []

    def tcp(self) -> list[TcpListener]:
        """Give the TCP listeners."""
        self.reads.append("tcp")
        return self.listeners

    def unix(self) -> list[UnixListener]:
        """Give the UNIX listeners."""
        self.reads.append("unix")
        return self.unix_listeners

    def listen(self, inode: int, port: int = PORT) -> None:
        """Add a listener at 127.0.0.1."""
        self.listeners = [TcpListener(port, bytes((127, 0, 0, 1)), inode)]


class World:
    """A lookout and what it has told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = Table()
        self.told: list[Any] = []
        self.asked = 0
        self.lookout = Lookout(
            SteadyClock(self.clock, self.clock.seconds, 0.0),
            self.table,  # type: ignore[arg-type]
        )

    def watch(self, endpoint: Endpoint = HERE) -> Sight:
        """Watch for an endpoint."""
        sight = Sight(endpoint, self._pids, lambda: self.told.append("listens"), self.told.append)
        self.lookout.watch(sight)
        return sight

    def ticks(self, count: int) -> None:
        """Let some ticks pass."""
        self.clock.pump([TICK_S] * count)

    def _pids(self) -> list[int]:
        self.asked += 1
        return [CHILD]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give a lookout among two processes that hold a socket each."""
    held = {CHILD: frozenset({OUR_SOCKET}), STRANGER: frozenset({THEIR_SOCKET})}
    monkeypatch.setattr(readiness, "held_by", lambda pid: held[pid])
    world = World()
    yield world
    world.lookout.close()
    assert world.clock.getDelayedCalls() == []


def test_listens(world: World) -> None:
    """A program is ready at the tick at which its own socket shows; descriptors are read only then."""
    world.watch()
    world.ticks(5)
    assert (world.told, world.asked) == ([], 0)
    world.table.listen(OUR_SOCKET)
    world.ticks(1)
    assert world.told == ["listens"]
    assert world.clock.getDelayedCalls() == []


def test_stranger(world: World) -> None:
    """A stranger on the port is told with the port, once, after some looks in a row."""
    world.watch()
    world.table.listen(THEIR_SOCKET)
    world.ticks(STRANGER_LOOKS - 1)
    assert world.told == []
    world.ticks(5)
    assert world.told == [PORT]


def test_stranger_for_a_moment(world: World) -> None:
    """A socket that is only on its way to the program is no stranger's."""
    world.watch()
    world.table.listen(THEIR_SOCKET)
    world.ticks(STRANGER_LOOKS - 1)
    world.table.listeners = []
    world.ticks(1)
    world.table.listen(THEIR_SOCKET)
    world.ticks(STRANGER_LOOKS - 1)
    world.table.listen(OUR_SOCKET)
    world.ticks(1)
    assert world.told == ["listens"]


def test_shared_port(world: World) -> None:
    """A port that a stranger shares (SO_REUSEPORT) is a stranger's: it would get some of the connections."""
    world.watch()
    address = bytes((127, 0, 0, 1))
    world.table.listeners = [TcpListener(PORT, address, OUR_SOCKET), TcpListener(PORT, address, THEIR_SOCKET)]
    world.ticks(STRANGER_LOOKS)
    assert world.told == [PORT]


def test_unix(world: World) -> None:
    """A UNIX socket is found by its path, and nobody else's under it is ever told."""
    world.watch(Unix("/run/a"))
    world.table.unix_listeners = [UnixListener(b"/run/a", THEIR_SOCKET), UnixListener(b"/run/b", OUR_SOCKET)]
    world.ticks(9)
    assert world.told == []
    world.table.unix_listeners = [UnixListener(b"/run/a", OUR_SOCKET)]
    world.ticks(1)
    assert world.told == ["listens"]
    assert set(world.table.reads) == {"unix"}


def test_one_reading_for_all(world: World) -> None:
    """The table is read once in a tick, however many wait."""
    for _ in range(50):
        world.watch()
    world.ticks(3)
    assert world.table.reads == ["tcp"] * 3


def test_dropped(world: World) -> None:
    """What is dropped is not looked for, and with the last one the looking ends."""
    first, second = world.watch(), world.watch()
    for sight in (first, first, second):
        world.lookout.drop(sight)
    assert world.clock.getDelayedCalls() == []
    world.watch()
    world.table.listen(OUR_SOCKET)
    world.ticks(1)
    assert world.told == ["listens"]


def test_owned(world: World) -> None:
    """Whether the tree has the socket can be asked at any time."""
    sight = world.watch()
    assert not world.lookout.is_owned(sight)
    world.table.listen(OUR_SOCKET)
    assert world.lookout.is_owned(sight)


def test_unreadable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program whose descriptors can't be read is never called ready, nor its port taken; the log says why, once."""
    logged: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        logged.append(event)

    def refuse(pid: int) -> frozenset[int]:
        raise PermissionError

    monkeypatch.setattr(readiness, "held_by", refuse)
    world.watch()
    world.table.listen(OUR_SOCKET)
    globalLogPublisher.addObserver(observe)
    try:
        world.ticks(9)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert world.told == []
    assert len([event for event in logged if "CAP_SYS_PTRACE" in (event["log_format"] or "")]) == 1


class TestLine:
    """Looking for a text in an output file."""

    @pytest.fixture
    def output(self, tmp_path: Path) -> OutputFile:
        """Give an empty output file."""
        output = OutputFile(tmp_path / "output", 1000)
        os.close(output.create())
        return output

    def write(self, output: OutputFile, text: str) -> None:
        """Add to the output."""
        with output.path.open("a") as file:
            file.write(text)

    @pytest.mark.parametrize("pieces", [["ready now\n"], ["not yet\nre", "ady n", "ow"], ["x" * 999, "ready now"]])
    def test_found(self, output: OutputFile, pieces: list[str]) -> None:
        """The text is found once, in however many pieces it was written."""
        found: list[bool] = []
        line = LineSought("ready now", output, lambda: found.append(True))
        for piece in pieces:
            assert found == []
            self.write(output, piece)
            line.look(output.size())
        self.write(output, "ready now\n")
        line.look(output.size())
        assert found == [True]

    def test_cut_file(self, output: OutputFile) -> None:
        """After the file was cut, reading begins anew."""
        found: list[bool] = []
        line = LineSought("ready", output, lambda: found.append(True))
        self.write(output, "x" * 2000)
        line.look(output.size())
        output.curb(output.size())
        self.write(output, "ready")
        line.look(output.size())
        assert found == [True]


@pytest.mark.parametrize(("path", "fits"), [("x" * 107, True), ("x" * 108, False), ("ä" * 54, False)])
def test_path_fits(path: str, fits: bool) -> None:
    """A socket's path is counted in bytes."""
    assert socket_path_fits(path) is fits
