"""Tunnels without a network: a broker with fake programs, HTTP and WebSockets over wires, dials on a memory reactor."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from zope.interface import implementer

from sessiond.broker import Broker, Request, Reservation
from sessiond.bus.local import LocalBus
from sessiond.clock import SteadyClock
from sessiond.core.services import Catalogue, Limits, Plan, Pool, Service
from sessiond.core.values import Clients, Kind, LaunchWhen, Lease, State
from sessiond.entropy import SystemEntropy
from sessiond.ports import RelayLimits
from sessiond.site import is_page
from sessiond.web.access import Access, Face
from sessiond.web.door import Door, DoorSite
from sessiond.web.proxy import Ways
from sessiond.web.visits import Visits
from sessiond.ws.sessions import Pages
from sessiond.ws.tunnels import Tunnels
from tests.fakes.frames import CLOSE, Frame, Frames
from tests.fakes.launchers import FakeChild, FakeLauncher, Script
from tests.fakes.stores import UnreliableStore
from tests.fakes.wires import Wire
from tests.results import result_of

SERVICES = {
    "desk": Plan(),
    "lazy": Plan(launch=LaunchWhen.ON_CONNECT),
    "remote": Plan(launch=LaunchWhen.ON_CONNECT, retry_dial=True),
}

BOOKS = {
    "book": Plan(),
    "lazybook": Plan(launch=LaunchWhen.ON_CONNECT),
    "twobook": Plan(clients=2),
    "takebook": Plan(clients=Clients.TAKEOVER),
    "idlebook": Plan(Limits(idle_s=100.0)),
}
"""Services whose programs have pages."""


class AnyLease:
    """Says that everything is free."""

    def free(self, lease: Lease) -> bool:
        """Say so."""
        return True


@implementer(IPushProducer)
class Line(Wire):
    """A wire that HTTP paces, as it does a real connection."""


class Visitor:
    """A client at its wire."""

    def __init__(self, house: Indoors, wire: Wire) -> None:
        self.house, self.wire = house, wire
        self.frames = Frames()
        self.head, self.body = b"", b""
        self.read: list[Frame] = []

    def look(self) -> Visitor:
        """Read what came."""
        data = self.wire.sent()
        if not self.head:
            self.head, _, data = data.partition(b"\r\n\r\n")
        if self.status == 101:
            self.read += self.frames.read(data)
        else:
            self.body += data
        return self

    @property
    def status(self) -> int:
        """The status of the answer; 0 while there is none."""
        return int(self.head.split()[1]) if self.head else 0

    @property
    def problem(self) -> Any:
        """The problem document that came."""
        return json.loads(self.body)

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and text of the close frame that came."""
        return next(((one.code, one.text) for one in self.look().read if one.opcode == CLOSE), None)

    def send(self, data: bytes) -> None:
        """Send."""
        self.wire.receive(data)


class Indoors:
    """A daemon's tunnels, and everything around them, on one memory reactor."""

    def __init__(self, door: Door | None = None) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.clock = SteadyClock(self.reactor, self.reactor.seconds, 1_000_000.0)
        self.launcher = FakeLauncher(self.reactor)
        self.store = UnreliableStore()
        services = {name: Service(name, Kind.TCP, "process", plan, pool=name) for name, plan in SERVICES.items()}
        services["viewer"] = Service("viewer", Kind.WEBSOCKET, "process", pool="viewer")
        once = Plan(clients=Clients.ONCE)
        services["once"] = Service("once", Kind.WEBSOCKET, "process", once, pool="once")
        for name, plan in BOOKS.items():
            services[name] = Service(name, Kind.HTTP, "process", plan, pool=name)
        catalogue = Catalogue(services, {name: Pool(name, 5) for name in services})
        launchers = {"process": self.launcher}
        self.broker = Broker(catalogue, self.store, LocalBus(), launchers, AnyLease(), SystemEntropy(), self.clock)
        result_of(Deferred.fromCoroutine(self.broker.open()))
        access = Access(())
        self.tunnels = Tunnels(self.broker, access.check_origin, RelayLimits(), self.reactor, self.clock)
        self.root = Resource()
        self.root.putChild(b"tunnel", self.tunnels.resource(Face()))
        visits = Visits(self.broker, SystemEntropy(), self.clock)
        pages = Pages(self.broker, self.tunnels, visits, Ways(self.reactor, self.clock, RelayLimits()))
        self.root.putChild(b"session", pages.resource(Face()))
        self.site = DoorSite(self.root, self.reactor, door or Door())
        self.site.streams = is_page

    def reserve(self, service: str = "desk", script: Script | None = None) -> Reservation:
        """Make a session."""
        if script is not None:
            self.launcher.script = script
        made: Reservation = result_of(Deferred.fromCoroutine(self.broker.reserve(Request(service))))
        self.advance(0)
        return made

    def visit(self, raw: bytes) -> Visitor:
        """Connect, and send what a client sends first."""
        wire = Line(self.reactor)
        wire.protocol = self.site.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        wire.receive(raw)
        self.advance(0)
        return Visitor(self, wire).look()

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each call that is due."""
        end = self.reactor.seconds() + seconds
        for _ in range(10_000):
            calls = self.reactor.getDelayedCalls()
            if not calls or calls[0].getTime() > end:
                break
            self.reactor.advance(max(0.0, calls[0].getTime() - self.reactor.seconds()))
        self.reactor.advance(max(0.0, end - self.reactor.seconds()))

    # -- programs ----------------------------------------------------------------------------------------------------

    @property
    def dials(self) -> int:
        """How many dials there have been."""
        return len(self.reactor.tcpClients)

    def answer_dial(self) -> Wire:
        """Have the program take the newest dial."""
        factory = self.reactor.tcpClients[-1][2]
        wire = Wire(self.reactor)
        wire.protocol = factory.buildProtocol(None)
        wire.protocol.makeConnection(wire)
        self.advance(0)
        return wire

    def refuse_dial(self) -> None:
        """Have nobody take the newest dial."""
        self.reactor.tcpClients[-1][2].clientConnectionFailed(None, Failure(Refused()))

    def child(self, made: Reservation) -> FakeChild:
        """Give the program of a session."""
        return self.launcher.children[made.session.id]

    def state(self, made: Reservation) -> State:
        """Give the state of a session."""
        return self.broker.session(made.session.id).state

    def tunnels_of(self, made: Reservation) -> int:
        """Say how many tunnels a session counts."""
        return len(self.broker.session(made.session.id).tunnels)
