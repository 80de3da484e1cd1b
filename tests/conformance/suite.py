"""Runs Autobahn|Testsuite's fuzzing client against tunnels, and reads its verdicts."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.web.resource import Resource

from sessiond.broker import Admission, Broker, Request
from sessiond.bus.local import LocalBus
from sessiond.core.errors import Code, Refused
from sessiond.core.services import Catalogue, Frames, Framing, Limits, Plan, Pool, Service
from sessiond.core.session import Session
from sessiond.core.values import Kind, LaunchWhen
from sessiond.entropy import SystemEntropy
from sessiond.ports import RelayLimits, Streams, TunnelClient
from sessiond.stores.memory import MemoryStore
from sessiond.web.access import Access, Face
from sessiond.web.wire import WebSite
from sessiond.ws.tunnels import Tunnels
from tests.launchers.real import RealBench
from tests.ws.served import AnyLease, until

AGENT = "sessiond"
PASSED = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
LIMITS = Limits(reservation_s=3600.0, linger_s=0.1, retention_s=3600.0)


def echo(frames: Frames) -> Service:
    """Give a service whose program sends each message back: the frames of both directions look the same."""
    plan = Plan(limits=LIMITS, launch=LaunchWhen.ON_CONNECT)
    return Service(
        frames.value,
        Kind.MESSAGES,
        "process",
        plan,
        command=("cat",),
        pool=frames.value,
        endpoint="stdio",
        framing=Framing.LENGTH,
        frames=frames,
    )


class FreshSessions:
    """A broker for clients that know only one address: each comes to a session of its own, with its own program.

    So no answer that one case did not wait for comes up in the next one.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._reserved: dict[str, list[Session]] = {}

    async def stock(self, service: str, count: int) -> None:
        """Make that many sessions; their programs start with their clients."""
        made = [(await self._broker.reserve(Request(service))).session for _ in range(count)]
        self._reserved.setdefault(service, []).extend(made)

    def by_ticket(self, ticket: str) -> Session:
        """Know no tickets."""
        raise Refused(Code.UNAUTHENTICATED)

    def by_token(self, token: str) -> Session:
        """Give the next session of the service that the token names."""
        return self._reserved[token].pop()

    def service_of(self, session: Session) -> Service | None:
        """Ask the broker."""
        return self._broker.service_of(session)

    def streams(self, session_id: str) -> Streams | None:
        """Ask the broker."""
        return self._broker.streams(session_id)

    async def admit(self, session_id: str, client: TunnelClient) -> Admission:
        """Ask the broker."""
        return await self._broker.admit(session_id, client)


@define
class Echoes:
    """Tunnels to echoing programs, on real ports with and without TLS.

    :ivar sessions: how many of each service.
    """

    bench: RealBench
    services: Sequence[Service]
    sessions: int
    by_autobahn: bool = False
    broker: Any = None
    tunnels: Any = None
    ports: list[Any] = field(factory=list)

    async def start(self) -> None:
        """Make the sessions."""
        services = {service.name: service for service in self.services}
        pools = {name: Pool(name, self.sessions) for name in services}
        launchers: Any = {"process": self.bench.launcher}
        clock = self.bench.clock
        self.broker = Broker(
            Catalogue(services, pools), MemoryStore(), LocalBus(), launchers, AnyLease(), SystemEntropy(), clock
        )
        await self.broker.open()
        fresh = FreshSessions(self.broker)
        for name in services:
            await fresh.stock(name, self.sessions)
        self.tunnels = Tunnels(
            fresh,
            Access(()).check_origin,
            RelayLimits(),
            self.bench.reactor,
            clock,
            by_autobahn=self.by_autobahn,
        )

    async def listen(self, description: str) -> int:
        """Listen at an endpoint; gives the port."""
        root = Resource()
        root.putChild(b"tunnel", self.tunnels.resource(Face()))
        port = await serverFromString(self.bench.reactor, description).listen(WebSite(root, self.bench.reactor))
        self.ports.append(port)
        return int(port.getHost().port)

    async def stop(self) -> None:
        """Close everything."""
        for port in self.ports:
            await maybeDeferred(port.stopListening)
        await self.tunnels.close()
        await self.broker.close(10.0)


class _Run(ProcessProtocol):
    def __init__(self) -> None:
        self.said = bytearray()
        self.over = False

    def outReceived(self, data: bytes) -> None:
        self.said += data

    errReceived = outReceived

    def processEnded(self, reason: Any) -> None:
        self.over = True


async def run_suite(
    program: str, folder: Path, limit_s: float, url: str, cases: Sequence[str], but: Sequence[str]
) -> dict[str, Any]:
    """Run the fuzzing client; its exit code says nothing, and its report is written at its very end.

    :param cases: patterns of the cases that are asked; ``but`` of those that are not.
    :returns: the verdicts: what the suite says of each case.
    """
    from twisted.internet import reactor

    write_spec(folder, url, cases, but)
    run = _Run()
    argv = [program, "-m", "fuzzingclient", "-s", str(folder / "spec.json")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    child = reactor.spawnProcess(run, program, argv, env=environment, path=str(folder))
    try:
        await until(lambda: run.over, limit_s)
    finally:
        if not run.over:
            try:
                child.signalProcess("KILL")
            except ProcessExitedAlready:
                pass
            await until(lambda: run.over)
    return read_report(folder, bytes(run.said))


def write_spec(folder: Path, url: str, cases: Sequence[str], but: Sequence[str]) -> None:
    """Write what the fuzzing client is to do, into a new folder."""
    spec = {
        "outdir": str(folder / "report"),
        "servers": [{"agent": AGENT, "url": url}],
        "cases": list(cases),
        "exclude-cases": list(but),
        "exclude-agent-cases": {},
    }
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(spec))


def read_report(folder: Path, said: bytes) -> dict[str, Any]:
    """Read its verdicts.

    :param said: what it printed, to be shown where there is no report.
    """
    index = folder / "report" / "index.json"
    assert index.exists(), said[-2000:].decode(errors="replace")
    return dict(json.loads(index.read_text())[AGENT])


def failed(verdicts: dict[str, Any]) -> list[str]:
    """Name the cases that were not passed."""
    return sorted(
        f"{case}: {told['behavior']}, close {told['behaviorClose']}"
        for case, told in verdicts.items()
        if not {told["behavior"], told["behaviorClose"]} <= PASSED
    )


def counted(verdicts: dict[str, Any]) -> Counter[str]:
    """Count the verdicts."""
    return Counter(told["behavior"] for told in verdicts.values())
