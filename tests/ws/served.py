"""Tunnels behind a real port: broker, store in memory, a fixed endpoint, and raw clients that speak frames by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
    serverFromString,
)
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from zope.interface import implementer

from sessiond.broker import Broker, Request, Reservation
from sessiond.bus.local import LocalBus
from sessiond.clock import SteadyClock
from sessiond.core.services import Catalogue, FixedTarget, Plan, Pool, Service
from sessiond.core.values import Kind, Lease
from sessiond.entropy import SystemEntropy
from sessiond.launchers.fixed import FixedLauncher
from sessiond.ports import Launcher, RelayLimits
from sessiond.stores.memory import MemoryStore
from sessiond.web.access import Access, Face
from sessiond.web.wire import WebSite
from sessiond.ws.tunnels import Tunnels
from tests.fakes.frames import BINARY, CLOSE, Frame, Frames, request

LIMIT_S = 30.0


@implementer(IHalfCloseableProtocol)
class Peer(Protocol):
    """One end of a real connection in the test's hand: it keeps what comes, and does nothing by itself.

    :ivar ended: the other end sends no more; ``lost`` the connection is gone.
    """

    def __init__(self) -> None:
        self.got = bytearray()
        self.total = 0
        self.keeps = True
        self.ended = self.lost = False
        self.wire: Any = None

    def connectionMade(self) -> None:
        """Keep the transport, which is asked for more than its interface says."""
        self.wire = self.transport

    def dataReceived(self, data: bytes) -> None:
        """Keep, or only count, what comes."""
        self.total += len(data)
        if self.keeps:
            self.got += data

    def readConnectionLost(self) -> None:
        """The other end sends no more."""
        self.ended = True

    def writeConnectionLost(self) -> None:
        """Our own end."""

    def connectionLost(self, reason: Any = None) -> None:
        """Both ends."""
        self.ended = self.lost = True


class Echo(Peer):
    """A program that sends back what it gets, and closes when its client does."""

    def connectionMade(self) -> None:
        """Let no more be read than is taken again."""
        super().connectionMade()
        self.wire.registerProducer(self.wire, True)

    def dataReceived(self, data: bytes) -> None:
        """Send it back."""
        self.wire.write(data)

    def readConnectionLost(self) -> None:
        """Send the rest, then close."""
        super().readConnectionLost()
        self.wire.unregisterProducer()
        self.wire.loseConnection()


class Browser(Peer):
    """A client that speaks WebSocket by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = Frames()
        self.read: list[Frame] = []
        self.head = b""

    def dataReceived(self, data: bytes) -> None:
        """Split the head of the answer off; behind a 101 come frames."""
        self.total += len(data)
        if not self.head:
            self.got += data
            head, mark, data = bytes(self.got).partition(b"\r\n\r\n")
            if not mark:
                return
            self.head = head
            self.got.clear()
        if self.status == 101:
            if self.keeps:
                self.read += self.frames.read(data)
        else:
            self.got += data

    def readConnectionLost(self) -> None:
        """Close too."""
        super().readConnectionLost()
        self.wire.loseConnection()

    @property
    def status(self) -> int:
        """The status of the answer; 0 before it is there."""
        return int(self.head.split()[1]) if self.head else 0

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document that came."""
        assert b"application/problem+json" in self.head
        return dict(json.loads(bytes(self.got)))

    @property
    def payload(self) -> bytes:
        """What came in binary messages."""
        return b"".join(one.payload for one in self.read if one.opcode == BINARY)

    @property
    def closed(self) -> Frame | None:
        """The close frame that came."""
        return next((one for one in self.read if one.opcode == CLOSE), None)


class Factories(Factory):
    """Keeps the protocols that it makes."""

    noisy = False

    def __init__(self, kind: Callable[[], Peer]) -> None:
        self.kind = kind
        self.peers: list[Peer] = []

    def buildProtocol(self, addr: Any) -> Peer:
        """Make one, and keep it."""
        self.peers.append(self.kind())
        return self.peers[-1]


class AnyLease:
    """Says that everything is free."""

    def free(self, lease: Lease) -> bool:
        """Say so."""
        return True


@define
class Served:
    """A daemon's tunnels on real ports.

    :ivar limits: the relays'.
    :ivar programs: what was connected to the endpoint.
    """

    limits: RelayLimits = field(factory=RelayLimits)
    kind: Callable[[], Peer] = Peer
    socket_path: str | None = None
    launchers: dict[str, Launcher] = field(factory=dict)
    plan: Plan = field(factory=Plan)
    programs: list[Peer] = field(factory=list)
    peers: list[Peer] = field(factory=list)
    _ports: list[Any] = field(factory=list)
    broker: Any = None
    tunnels: Any = None
    port: int = 0
    own_port: int = 0
    target: FixedTarget = field(factory=FixedTarget)

    async def start(self) -> Served:
        """Listen."""
        from twisted.internet import reactor

        clock = SteadyClock(reactor)
        await self._start_program()
        service = Service("echo", Kind.TCP, "fixed", self.plan, pool="echo", target=self.target)
        catalogue = Catalogue({"echo": service}, {"echo": Pool("echo", 50)})
        launchers: dict[str, Launcher] = {"fixed": FixedLauncher(), **self.launchers}
        self.broker = Broker(catalogue, MemoryStore(), LocalBus(), launchers, AnyLease(), SystemEntropy(), clock)
        await self.broker.open()
        self.tunnels = Tunnels(self.broker, Access(()).check_origin, self.limits, reactor, clock)
        root = Resource()
        root.putChild(b"tunnel", self.tunnels.resource(Face()))
        self.port = await self._listen(WebSite(root, reactor))
        self.own_port = await self._listen(self.tunnels.site(Face()))
        return self

    async def _start_program(self) -> None:
        from twisted.internet import reactor

        factory = Factories(self.kind)
        self.programs = factory.peers
        if self.socket_path is None:
            self.target = FixedTarget(port=await self._listen(factory))
        else:
            self._ports.append(await UNIXServerEndpoint(reactor, self.socket_path).listen(factory))
            self.target = FixedTarget(socket=self.socket_path)

    async def _listen(self, factory: Any) -> int:
        from twisted.internet import reactor

        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self._ports.append(port)
        return int(port.getHost().port)

    async def reserve(self) -> Reservation:
        """Make a session."""
        return await self.broker.reserve(Request("echo"))  # type: ignore[no-any-return]

    async def connect(self, raw: bytes, *, own: bool = False, kind: Callable[[], Browser] = Browser) -> Browser:
        """Send what a client sends first, without waiting for the answer."""
        from twisted.internet import reactor

        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.own_port if own else self.port)
        return await self.connect_to(endpoint, raw, kind)

    async def connect_to(self, endpoint: Any, raw: bytes, kind: Callable[[], Browser] = Browser) -> Browser:
        """Do the same at another place."""
        browser = kind()
        await connectProtocol(endpoint, browser)
        self.peers.append(browser)
        browser.wire.write(raw)
        return browser

    async def listen_at(self, description: str) -> Any:
        """Listen for tunnels at one more place; gives its port."""
        from twisted.internet import reactor

        port = await serverFromString(reactor, description).listen(self.tunnels.site(Face()))
        self._ports.append(port)
        return port

    async def open(self, token: str, *lines: str) -> Browser:
        """Open a tunnel, and wait for the program at its end."""
        before = len(self.programs)
        browser = await self.connect(request(f"/tunnel?token={token}", *lines))
        await until(lambda: browser.status == 101)
        await until(lambda: len(self.programs) > before)
        return browser

    async def stop(self) -> None:
        """Close everything."""
        for peer in (*self.peers, *self.programs):
            if peer.wire is not None and not peer.lost:
                peer.wire.abortConnection()
        await self.tunnels.close()
        await self.broker.close(1.0)
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        await until(lambda: all(peer.lost for peer in (*self.peers, *self.programs)))


async def until(holds: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait for something to hold.

    :raises AssertionError: it does not within the limit.
    """
    from twisted.internet import reactor

    step_s = 0.005
    for _ in range(int(limit_s / step_s)):
        if holds():
            return
        await deferLater(reactor, step_s)
    raise AssertionError("it did not come to that")


async def pause(seconds: float) -> None:
    """Let the reactor run."""
    from twisted.internet import reactor

    await deferLater(reactor, seconds)
