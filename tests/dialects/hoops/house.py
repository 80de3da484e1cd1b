"""A daemon that spawns HOOPS viewers, on one memory reactor: routes over wires, programs that are fakes and report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from sessiond.broker import Broker, Tickets
from sessiond.bus.local import LocalBus
from sessiond.clock import SteadyClock
from sessiond.config import ApiToken, Callers, Face, Hoops, Listener, Rendering
from sessiond.core.services import Caps, Catalogue, Folders, Limits, OptionType, Pattern, Plan, Pool, Service, Stop
from sessiond.core.session import Session
from sessiond.core.values import Clients, Kind, LeaseKind, StopStep
from sessiond.dialects.hoops import HoopsFaces
from sessiond.entropy import SystemEntropy, digest
from sessiond.meters import Meters, Traffic
from sessiond.ports import RelayLimits
from sessiond.site import Sources, site_of
from sessiond.web.access import Access, Caller
from sessiond.web.proxy import Ways
from sessiond.web.visits import Visits
from sessiond.ws.sessions import Pages
from sessiond.ws.tunnels import Tunnels
from tests.fakes.frames import request
from tests.fakes.launchers import FakeChild, FakeLauncher, Script
from tests.fakes.stores import UnreliableStore
from tests.fakes.wires import Wire
from tests.results import result_of
from tests.ws.indoors import AnyLease, Indoors, Visitor

PAGE = "Origin: http://localhost"
TOKENS = {"reader": "read", "portal": "launch", "root": "operate"}
"""Names of callers, each of whom has its own name as its token, to what that is good for."""

LIMITS = Limits(launch_s=55.0, connect_s=60.0, linger_s=0.0, suspect_s=12.0, liveliness_s=17.0)
STOP = (Stop(StopStep.DRAIN, 17.0), Stop(StopStep.TERM, 5.0), Stop(StopStep.KILL, 5.0))
PLAN = Plan(LIMITS, STOP, clients=Clients.ONCE, leases=(LeaseKind.PORT,), ready_by_report=True)
OPTIONS: Mapping[str, OptionType] = {
    "model": Pattern(".*", "", optional=True),
    "session_token": Pattern("[A-Za-z0-9-]+", "", optional=True),
    "directories": Folders(("/srv/models", "/srv/parts"), "/srv/models"),
}


@frozen
class Reporting(Script):
    """Starts, and is ready once the test has it report so."""

    ready_s: float | None = None


@frozen
class Told:
    """One answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON by its type too."""
        assert self.headers["content-type"] == "application/json", self
        assert self.headers["cache-control"] == "no-store"
        return json.loads(self.body)


class Asked:
    """A request that may not be answered yet."""

    def __init__(self, house: House, wire: Wire) -> None:
        self.house, self.wire = house, wire

    @property
    def told(self) -> Told | None:
        """The answer, if it is there."""
        raw = bytes(self.wire.written)
        head, end, body = raw.partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert len(body) == int(headers.get("content-length", 0)), raw
        return Told(int(first.split(" ")[1]), headers, body)

    @property
    def answer(self) -> Told:
        """The answer, which must be there."""
        told = self.told
        assert told is not None, "not answered"
        return told


class House(Indoors):
    """The daemon.

    :param settings: of the dialect, beside its services.
    :ivar shutdowns: how often it was told to end.
    """

    def __init__(
        self,
        *,
        listener: Mapping[str, Any] | None = None,
        plan: Plan = PLAN,
        count: int = 3,
        ports: tuple[int, int] = (11000, 11063),
        renderings: tuple[Rendering, ...] = tuple(Rendering),
        caps: Caps | None = None,
        tokens: bool = True,
        command: tuple[str, ...] = ("viewer",),
        **settings: Any,
    ) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.clock = SteadyClock(self.reactor, self.reactor.seconds, 1_000_000.0)
        self.launcher = FakeLauncher(self.reactor, Reporting())
        self.store = UnreliableStore()
        self.shutdowns = 0
        names = {Rendering.CSR: "viewer", Rendering.SSR: "painter"}
        services = {
            name: Service(
                name, Kind.WEBSOCKET, "process", plan, pool="viewers", options=OPTIONS, ports=ports, command=command
            )
            for name in names.values()
        }
        self.catalogue = Catalogue(services, {"viewers": Pool("viewers", count)}, caps or Caps())
        bus, entropy = LocalBus(), SystemEntropy()
        self.broker = Broker(
            self.catalogue, self.store, bus, {"process": self.launcher}, AnyLease(), entropy, self.clock
        )
        result_of(Deferred.fromCoroutine(self.broker.open()))
        self.tickets: Tickets[Caller] = Tickets(entropy, self.clock)
        known = [ApiToken(name, digest(name), frozenset({scope})) for name, scope in TOKENS.items()]
        access = Access(known if tokens else (), self.tickets)
        self.tunnels = Tunnels(self.broker, access.check_origin, RelayLimits(), self.reactor, self.clock)
        self.settings = Hoops({one: names[one] for one in renderings}, **settings)
        self.faces = HoopsFaces(
            self.settings, self.broker, access, self.tunnels.entrance, entropy.uuid, self._shut_down
        )
        bus.subscribe(self.faces.hear)
        meters = Meters(services, self.clock, lambda: Traffic(0, 0, 0))
        visits = Visits(self.broker, entropy, self.clock)
        pages = Pages(self.broker, self.tunnels, visits, Ways(self.reactor, self.clock, RelayLimits()))
        tunnels = (self.tunnels.resource, None, None, None, self.faces, pages.resource)
        sources = Sources(self.broker, access, meters, (), *tunnels)
        usual = Listener("web", "tcp:80", frozenset({Face.HOOPS, Face.TUNNEL}), Callers.TOKEN, hosts=("localhost",))
        self.http = self.site = site_of(evolve(usual, **(listener or {})), sources, self.reactor)
        self.children = site_of(Listener("child", "tcp:0", frozenset({Face.CHILD})), sources, self.reactor)

    def _shut_down(self) -> None:
        self.shutdowns += 1

    # -- clients -----------------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, *lines: str, body: bytes | object = b"") -> Asked:
        """Send a request on a connection of its own."""
        return self._ask(self.http, method, path, lines, body)

    def spawn(self, body: bytes | object = b"", *lines: str, path: str = "/api/spawn") -> Asked:
        """Ask for a viewer, as a page does."""
        return self.ask("POST", path, PAGE, *lines, body=body)

    def _ask(self, site: Any, method: str, path: str, lines: tuple[str, ...], body: bytes | object) -> Asked:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        wire = Wire(self.reactor)
        wire.protocol = site.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", *lines]
        head += [f"Content-Length: {len(content)}"] if content else []
        wire.receive("\r\n".join([*head, "", ""]).encode() + content)
        self.advance(0)
        return Asked(self, wire)

    def view(self, path: str, *lines: str) -> Visitor:
        """Ask for a WebSocket."""
        return self.visit(request(path, *lines))

    # -- programs ----------------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The newest session, as it was last saved."""
        return self.broker.sessions()[-1]

    @property
    def program(self) -> FakeChild:
        """Its program."""
        return self.launcher.children[self.session.id]

    def report(self, what: str | None = "ready", base: str = "/api/spawns/", session: Session | None = None) -> Told:
        """Have the program of a session, or of the newest, report over HTTP."""
        about = session or self.session
        query = "" if what is None else f"?liveliness={what}"
        secret = about.child_secret or "gone"
        return self._ask(self.children, "POST", f"/{secret}{base}{about.id}{query}", (), b"").answer

    def ready(self, *lines: str, body: bytes | object = b"") -> Told:
        """Spawn a viewer whose program is ready."""
        asked = self.spawn(body, *lines)
        assert self.report().status == 200
        return asked.answer

    def end(self, code: int | None = 0, signal: int | None = None) -> None:
        """End the newest program."""
        self.program.exit(code, signal)
        self.program.vanish()
        self.advance(0)
