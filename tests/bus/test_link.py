"""The link: each step has its time, each failure its reason, each wait its limit, and an end leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as NotListening
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from sessiond.bus.amqp.link import BASE_S, CONNECT_S, MOST_S, READY_S, SETUP_S, STEADY_S, Link, Standing, longest_wait_s
from sessiond.bus.amqp.seam import Wire
from sessiond.clock import SteadyClock
from sessiond.entropy import SystemEntropy
from tests.fakes.amqp import HeldWire
from tests.results import result_of


class Longest(SystemEntropy):
    """Draws the longest wait."""

    def fraction(self) -> float:
        """Draw."""
        return 1.0


@implementer(ILogObserver)
class Linked:
    """A link whose dials and work the test answers."""

    def __init__(self) -> None:
        self.time = Clock()
        self.lines: list[str] = []
        self.dials: list[Deferred[Wire]] = []
        self.story: list[str] = []
        self.wires: list[HeldWire] = []
        clock = SteadyClock(self.time, self.time.seconds, 1000.0)
        self.link = Link("facts", "u@h:1", self.dial, self, self.time, clock, Longest())

    def __call__(self, event: LogEvent) -> None:
        """Observe the log."""
        self.lines.append(formatEvent(event))

    def dial(self) -> Deferred[Wire]:
        """Begin to connect."""
        self.dials.append(Deferred())
        return self.dials[-1]

    async def begin(self, wire: Wire) -> None:
        """Set up."""
        self.story.append("begin")
        await wire.outlet("x")

    def lost(self) -> None:
        """Go without."""
        self.story.append("lost")

    def answer(self, *, lets_in: bool = True) -> HeldWire:
        """Have the last dial succeed."""
        wire = HeldWire()
        self.wires.append(wire)
        self.dials[-1].callback(wire)
        if lets_in:
            wire.opened.callback(None)
        return wire


@pytest.fixture
def linked() -> Iterator[Linked]:
    """Give one; when the test is over it has ended, and holds no timer."""
    linked = Linked()
    globalLogPublisher.addObserver(linked)
    linked.link.start()
    yield linked
    globalLogPublisher.removeObserver(linked)
    result_of(linked.link.stop())
    assert linked.time.getDelayedCalls() == []
    assert all(wire.is_gone for wire in linked.wires)


def test_up(linked: Linked) -> None:
    """A connection that is set up is up, and its end is told to the work once."""
    wire = linked.answer()
    standings = [linked.link.standing]
    for wire.blocked in ("low on memory", None):
        wire.on_blocked()
        standings.append(linked.link.standing)
    wire.abort("320 CONNECTION_FORCED")
    assert [*standings, linked.link.standing] == [Standing.UP, Standing.BLOCKED, Standing.UP, Standing.AWAY]
    assert linked.story == ["begin", "lost"]
    assert linked.lines == [
        "RabbitMQ, facts: connected to u@h:1 after 0.0 s",
        "RabbitMQ, facts: takes no messages at present: low on memory",
        "RabbitMQ, facts: takes messages again",
        "RabbitMQ, facts: u@h:1: 320 CONNECTION_FORCED; again in 0.5 s",
    ]
    linked.time.advance(BASE_S)
    linked.answer()
    assert linked.link.reconnects == 1
    assert linked.lines[-1] == "RabbitMQ, facts: connected to u@h:1 after 0.5 s"


def test_not_there(linked: Linked) -> None:
    """A server that is not there is tried again, after waits that grow to their limit and no further."""
    for failures in range(1, 12):
        linked.dials[-1].errback(NotListening())
        assert len(linked.dials) == failures
        linked.time.advance(longest_wait_s(failures) - 0.01)
        assert len(linked.dials) == failures
        linked.time.advance(0.01)
        assert len(linked.dials) == failures + 1
    assert linked.lines[0].startswith("RabbitMQ, facts: u@h:1: can't be reached: Connection was refused")
    assert longest_wait_s(99999) == MOST_S


def test_never_connects(linked: Linked) -> None:
    """A dial that comes to no end is given up."""
    linked.time.advance(CONNECT_S)
    assert linked.lines == ["RabbitMQ, facts: u@h:1: can't be reached within 10 s; again in 0.5 s"]
    linked.time.advance(BASE_S)
    assert len(linked.dials) == 2


def test_never_lets_in(linked: Linked) -> None:
    """A server that accepts and is silent is given up, and its connection ended."""
    wire = linked.answer(lets_in=False)
    linked.time.advance(READY_S)
    assert wire.is_gone
    assert "does not let us in within 10 s" in linked.lines[0]


def test_drops_before_it_is_ready(linked: Linked) -> None:
    """A server that hangs up is told of with the connection's own reason."""
    linked.answer(lets_in=False).abort("403 ACCESS_REFUSED")
    assert linked.lines == ["RabbitMQ, facts: u@h:1: 403 ACCESS_REFUSED; again in 0.5 s"]


def test_never_sets_up(linked: Linked) -> None:
    """A server that answers no declaration is given up."""
    wire = HeldWire()
    wire.is_deaf = True
    linked.dials[-1].callback(wire)
    wire.opened.callback(None)
    linked.time.advance(SETUP_S)
    assert wire.is_gone
    assert "does not answer within 10 s" in linked.lines[0]
    assert linked.story == ["begin", "lost"]


def test_lost_in_setup(linked: Linked) -> None:
    """A connection that is lost while it is set up is one that failed."""
    wire = HeldWire()
    linked.dials[-1].callback(wire)
    wire.is_deaf = True
    wire.opened.callback(None)
    wire.abort("lost")
    linked.time.advance(SETUP_S)
    assert linked.link.standing is Standing.AWAY
    linked.time.advance(BASE_S)
    assert len(linked.dials) == 2


def test_steady(linked: Linked) -> None:
    """Waits grow from one short connection to the next, and begin anew after one that was up for a minute."""
    for failures in (1, 2, 3):
        linked.answer().abort("lost")
        linked.time.advance(longest_wait_s(failures))
    wire = linked.answer()
    linked.time.advance(STEADY_S)
    wire.abort("lost")
    assert linked.lines[-1].endswith("again in 0.5 s")


@pytest.mark.parametrize("when", ["dialling", "being let in", "setting up", "up", "waiting"])
def test_stops_at_any_time(linked: Linked, when: str) -> None:
    """A stop ends it in every state, at once where the server plays along."""
    if when == "being let in":
        linked.answer(lets_in=False)
    elif when == "setting up":
        wire = HeldWire()
        wire.is_deaf = True
        linked.dials[-1].callback(wire)
        wire.opened.callback(None)
    elif when == "up":
        linked.answer()
    elif when == "waiting":
        linked.answer().abort("lost")
    stopped = linked.link.stop()
    linked.time.advance(SETUP_S)
    result_of(stopped)
    linked.time.advance(2 * MOST_S)
    assert len(linked.dials) == 1
