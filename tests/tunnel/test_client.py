"""A client from before its admission on: what comes early is done as soon as it can be."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from sessiond.clock import SteadyClock
from sessiond.core.events import Dialled, Event, TunnelClosed
from sessiond.core.values import End, Tcp
from sessiond.ports import Close, Counters, EndpointSide
from sessiond.tunnel.client import Tunnel
from tests.fakes.wires import Wire

PROGRAM = Tcp("127.0.0.1", 11000)


@define
class FakeRelay:
    """Keeps what is wanted of it."""

    counters: Counters = field(factory=Counters)
    joined: list[EndpointSide] = field(factory=list)
    cuts: list[tuple[Close, float]] = field(factory=list)

    def join(self, endpoint: EndpointSide) -> None:
        """Keep it."""
        self.joined.append(endpoint)

    def cut(self, close: Close, flush_s: float) -> None:
        """Keep it."""
        self.cuts.append((close, flush_s))


class Guest:
    """A tunnel, and all that it has to do with."""

    def __init__(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.clock = SteadyClock(self.reactor, self.reactor.seconds, 1000.0)
        self.done: list[Tunnel] = []
        self.told: list[Event] = []
        self.relay = FakeRelay()
        self.tunnel = Tunnel("desk-1", self.reactor, self.clock, self.done.append)

    def admit(self) -> None:
        """Admit it."""
        self.tunnel.admitted(7, self.told.append)

    def connect(self) -> Wire:
        """Take its dial."""
        wire = Wire(self.reactor)
        wire.protocol = self.reactor.tcpClients[-1][2].buildProtocol(None)
        wire.protocol.makeConnection(wire)
        return wire


def test_the_usual_order() -> None:
    """Admitted, opened, dialled: joined, and then told."""
    guest = Guest()
    guest.admit()
    guest.tunnel.opened(guest.relay)
    guest.tunnel.dial(PROGRAM, retry=False)
    guest.connect()
    assert len(guest.relay.joined) == 1
    assert guest.told == [Dialled(7)]


def test_dialled_before_all() -> None:
    """A program that answers before the broker has is joined later, and told of in time."""
    guest = Guest()
    guest.tunnel.dial(PROGRAM, retry=False)
    wire = guest.connect()
    assert wire.paused
    guest.admit()
    assert guest.told == []
    guest.tunnel.opened(guest.relay)
    assert len(guest.relay.joined) == 1
    assert guest.told == [Dialled(7)]


def test_unreachable_before_all() -> None:
    """A failure that comes early is told when it can be, and the client is not left alone."""
    guest = Guest()
    guest.tunnel.dial(PROGRAM, retry=False)
    guest.reactor.tcpClients[-1][2].clientConnectionFailed(None, Failure(Refused()))
    guest.admit()
    assert guest.told == [TunnelClosed(7, End.ENDPOINT, "unreachable")]
    guest.tunnel.opened(guest.relay)
    guest.reactor.advance(10)
    assert guest.relay.cuts == [(Close(1000, "closed by the application"), 0.0)]


def test_cut_before_all() -> None:
    """A client that is not wanted any more when it comes is closed as soon as it is open."""
    guest = Guest()
    guest.tunnel.dial(PROGRAM, retry=True)
    guest.tunnel.cut(4410, "released", 5.0)
    assert guest.reactor.getDelayedCalls() == []
    guest.admit()
    guest.tunnel.opened(guest.relay)
    assert guest.relay.cuts == [(Close(4410, "released"), 5.0)]


def test_cut_twice() -> None:
    """The first word counts, and nothing is dialled after it."""
    guest = Guest()
    guest.admit()
    guest.tunnel.opened(guest.relay)
    guest.tunnel.cut(4410, "released", 5.0)
    guest.tunnel.cut(1001, "shutdown", 0.0)
    guest.tunnel.dial(PROGRAM, retry=False)
    assert len(guest.relay.cuts) == 1
    assert guest.reactor.tcpClients == []


def test_dropped() -> None:
    """A client that never came is told of once, and what was dialled for it is let go."""
    guest = Guest()
    guest.tunnel.dial(PROGRAM, retry=False)
    wire = guest.connect()
    guest.admit()
    guest.tunnel.dropped()
    assert wire.aborted
    assert [type(event) for event in guest.told] == [TunnelClosed]
    assert guest.done == [guest.tunnel]


def test_told_once() -> None:
    """However many ends there are, the broker is told of the first."""
    guest = Guest()
    guest.admit()
    guest.tunnel.opened(guest.relay)
    guest.tunnel.closed(End.ENDPOINT, "")
    guest.tunnel.cut(4500, "exited", 0.0)
    guest.tunnel.closed(End.OURS, "exited")
    guest.tunnel.over(Close(4500, "exited"))
    assert guest.told == [TunnelClosed(7, End.ENDPOINT, "")]
    assert guest.reactor.getDelayedCalls() == []
