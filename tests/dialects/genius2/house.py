"""A parties server on one memory reactor: HTTP over wires, programs that are fakes, a folder that is real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from sessiond.broker import Broker
from sessiond.bus.local import LocalBus
from sessiond.clock import SteadyClock
from sessiond.config import Callers, Face, Genius2, Listener, PartyContext
from sessiond.core.services import Caps, Catalogue, Pool
from sessiond.dialects.genius2 import Genius2Faces
from sessiond.entropy import SystemEntropy
from sessiond.meters import Meters, Traffic
from sessiond.ports import RelayLimits
from sessiond.site import Sources, site_of
from sessiond.web.access import Access
from sessiond.ws.bulletin import Bulletins
from sessiond.ws.tunnels import Tunnels
from tests.fakes.launchers import FakeLauncher, Script
from tests.fakes.stores import UnreliableStore
from tests.fakes.wires import Wire
from tests.results import result_of
from tests.ws.indoors import AnyLease, Indoors

DESCRIPTOR = {
    "command": ["party"],
    "capabilities": {"behaviours": ["SAOP"], "profiles": ["b", "a"]},
    "description": "plays",
}


@frozen
class Told:
    """One answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    text: str


class Hall(Indoors):
    """The server, with one party for each name.

    :param others: contexts beside the first.
    :param settings: of the first one.
    """

    def __init__(
        self,
        folder: Path,
        *names: str,
        caps: Caps | None = None,
        others: tuple[PartyContext, ...] = (),
        **settings: Any,
    ) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.clock = SteadyClock(self.reactor, self.reactor.seconds, 1_000_000.0)
        self.launcher = FakeLauncher(self.reactor)
        self.launcher.script = Script(obeys=())
        self.store, bus = UnreliableStore(), LocalBus()
        for name in names:
            (folder / f"{name}.json").write_text(json.dumps(DESCRIPTOR), "utf-8")
        defaults: dict[str, Any] = {"paths": ("/partiesserver", "/partiesserver-2.0.0"), "slots": 2}
        self.context = PartyContext("main", folder=folder, **{**defaults, **settings})
        contexts = (self.context, *others)
        catalogue = Catalogue({}, {one.pool: Pool(one.pool, one.slots) for one in contexts}, caps or Caps())
        launchers: Any = {"process": self.launcher}
        self.broker = Broker(catalogue, self.store, bus, launchers, AnyLease(), SystemEntropy(), self.clock)
        result_of(Deferred.fromCoroutine(self.broker.open()))
        self.tunnels = Tunnels(self.broker, Access(()).check_origin, RelayLimits(), self.reactor, self.clock)
        bulletins = Bulletins(RelayLimits(), self.reactor, self.clock)
        settled = Genius2(contexts)
        shelf = self.store.shelf("genius2")
        self.faces = Genius2Faces(settled, self.broker, self.tunnels.greeting, bulletins, folder / "state", shelf)
        bus.subscribe(self.faces.hear)
        meters = Meters((), self.clock, lambda: Traffic(0, 0, 0))
        sources = Sources(self.broker, Access(()), meters, (), self.tunnels.resource, None, None, self.faces)
        listener = Listener("web", "tcp:0", frozenset({Face.GENIUS2}), Callers.ANYONE)
        self.site = site_of(listener, sources, self.reactor)
        self.front = self.faces.fronts[0]
        self.faces.start()
        self.advance(2)

    def begin(self, path: str, *lines: str, method: str = "GET", host: str | None = "parties.example:8080") -> Wire:
        """Send a request."""
        wire = Wire(self.reactor)
        wire.protocol = self.site.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        hosts = [] if host is None else [f"Host: {host}"]
        head = [f"{method} /partiesserver{path} HTTP/1.1", *hosts, *lines]
        wire.receive("\r\n".join([*head, "", ""]).encode())
        self.advance(0)
        return wire

    def get(self, path: str, *lines: str, method: str = "GET", host: str | None = "parties.example:8080") -> Told:
        """Send a request, and give the answer."""
        return told(self.begin(path, *lines, method=method, host=host))

    def runs(self) -> list[str]:
        """List the ids of what runs."""
        return sorted(self.front.runs)

    def stop(self) -> None:
        """Look for nothing any more."""
        self.faces.stop()


def told(wire: Wire) -> Told:
    """Read an answer."""
    head, _, body = wire.sent().partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Told(int(first.split()[1]), headers, body.decode())
