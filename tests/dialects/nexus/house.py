"""A daemon that speaks the Nexus dialect, on one memory reactor: REST over wires, viewers, programs that are fakes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from sessiond.broker import Broker
from sessiond.bus.local import LocalBus
from sessiond.clock import SteadyClock
from sessiond.config import Callers, Face, Listener, Nexus, StaticFolder
from sessiond.core.services import Catalogue, FixedTarget, Limits, Plan, Pool, Service
from sessiond.core.session import Session
from sessiond.core.values import Kind, LaunchWhen
from sessiond.dialects.nexus import NexusFaces
from sessiond.entropy import SystemEntropy
from sessiond.launchers.fixed import FixedLauncher
from sessiond.meters import Meters, Traffic
from sessiond.ports import Launcher, RelayLimits
from sessiond.site import Sources, site_of
from sessiond.web.access import Access
from sessiond.ws.tunnels import Tunnels
from tests.fakes.frames import request
from tests.fakes.launchers import FakeChild, FakeLauncher
from tests.fakes.stores import UnreliableStore
from tests.fakes.wires import Wire
from tests.results import result_of
from tests.ws.indoors import AnyLease, Indoors, Visitor

KEY = "k-e_y+1"
"""The security token of the tests; a plus is what clients forget to encode."""

LIMITS = Limits(reservation_s=300.0, linger_s=0.0, launch_s=60.0)
PLAN = Plan(launch=LaunchWhen.ON_CONNECT, limits=LIMITS)
COUNTS = {"local_envision": 2, "Linux desktop": 3}
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "local_envision": {"file_ext": ["evsn"], "sizes": ["1600x1200"]},
    "Linux desktop": {},
}
FIXED = Service(
    "viewer", Kind.TCP, "fixed", evolve(PLAN, clients=1), pool="viewer", target=FixedTarget("127.0.0.1", 5900)
)


@frozen
class Told:
    """One answer, its reason phrase too; names of headers are in lower case."""

    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON by its type too."""
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.body)


class House(Indoors):
    """The daemon.

    :param settings: of the dialect, beside its services.
    :ivar shutdowns: how often it was told to end.
    """

    def __init__(
        self,
        *,
        root: Path | None = None,
        target: bool = False,
        listener: Mapping[str, Any] | None = None,
        plan: Plan = PLAN,
        counts: Mapping[str, int] = COUNTS,
        **settings: Any,
    ) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.clock = SteadyClock(self.reactor, self.reactor.seconds, 1_000_000.0)
        self.launcher = FakeLauncher(self.reactor)
        self.store = UnreliableStore()
        self.shutdowns = 0
        services = {name: Service(name, Kind.TCP, "process", plan, pool=name, any_options=True) for name in counts}
        pools = {name: Pool(name, count) for name, count in counts.items()} | {"viewer": Pool("viewer", 2)}
        bus = LocalBus()
        launchers: dict[str, Launcher] = {"process": self.launcher, "fixed": FixedLauncher()}
        self.catalogue = Catalogue(services | {"viewer": FIXED}, pools)
        self.broker = Broker(self.catalogue, self.store, bus, launchers, AnyLease(), SystemEntropy(), self.clock)
        result_of(Deferred.fromCoroutine(self.broker.open()))
        access = Access(())
        self.tunnels = Tunnels(self.broker, access.check_origin, RelayLimits(), self.reactor, self.clock)
        offered = {name: OPTIONS.get(name, {}) for name in counts}
        self.settings = Nexus(services=offered, target="viewer" if target else None, **settings)
        self.faces = NexusFaces(self.settings, self.broker, self.tunnels.greeting, self._shut_down)
        bus.subscribe(self.faces.hear)
        meters = Meters(services, self.clock, lambda: Traffic(0, 0, 0))
        static = () if root is None else (StaticFolder("/", root, listing=True),)
        sources = Sources(self.broker, access, meters, static, self.tunnels.resource, None, self.faces)
        usual = Listener("web", "tcp:0", frozenset({Face.NEXUS, Face.STATIC}), Callers.ANYONE, **(listener or {}))
        self.http = site_of(usual, sources, self.reactor)
        self.site = site_of(evolve(usual, serves=frozenset({Face.NEXUS_TUNNEL})), sources, self.reactor)

    def _shut_down(self) -> None:
        self.shutdowns += 1

    # -- REST --------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, *lines: str, body: bytes = b"") -> Told:
        """Send a request, and give the answer."""
        return told(self.begin(method, path, *lines, body=body).sent(), method)

    def get(self, path: str, *lines: str) -> Told:
        """Send a GET."""
        return self.call("GET", path, *lines)

    def begin(self, method: str, path: str, *lines: str, body: bytes = b"") -> Wire:
        """Send a request on a connection of its own."""
        wire = Wire(self.reactor)
        wire.protocol = self.http.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", *lines]
        head += [f"Content-Length: {len(body)}"] if body else []
        wire.receive("\r\n".join([*head, "", ""]).encode("utf-8") + body)
        self.advance(0)
        while (file := wire.protocol._requestProducer) is not None:
            file._producer.resumeProducing()  # as the reactor would, turn by turn
        return wire

    def begin_stop(self, query: str = "") -> Wire:
        """Ask for a stop on a connection that takes no bytes."""
        wire = self.begin("GET", "/v1/status" + query)
        wire.refuse()
        wire.receive(f"GET /v1/stop{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.advance(0)
        return wire

    def token(self, name: str = "local_envision", query: str = "") -> str:
        """Reserve a slot."""
        return str(self.get(f"/v1/reserve/{name.replace(' ', '%20')}{query}").json["token"])

    def status(self, query: str = "") -> dict[str, list[Any]]:
        """Give the instances of each service."""
        return {one["name"]: one["instances"] for one in self.get(f"/v1/status{query}").json}

    # -- viewers and programs ----------------------------------------------------------------------------------------

    def view(self, query: str = "", *lines: str, path: str = "/websockify") -> Visitor:
        """Connect to the tunnel's port."""
        return self.visit(request(path + query, *lines))

    def session(self, token: str) -> Session:
        """Give the session of a token."""
        return self.broker.by_token(token)

    def program(self, token: str) -> FakeChild:
        """Give the program of a token's session."""
        return self.launcher.children[self.session(token).id]


@contextmanager
def logged() -> Iterator[list[str]]:
    """Collect the lines that are logged meanwhile, as they would be without what cleans them."""
    lines: list[str] = []
    publisher: Any = globalLogPublisher

    def note(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    publisher.addObserver(note)
    try:
        yield lines
    finally:
        publisher.removeObserver(note)


def told(raw: bytes, method: str = "GET") -> Told:
    """Read an answer."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    _, status, phrase = first.split(" ", 2)
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if method != "HEAD" and "content-length" in headers:
        assert len(body) == int(headers["content-length"]), raw
    return Told(int(status), phrase, headers, body)
