"""Dialling an endpoint, over memory and over real sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from sessiond.clock import SteadyClock
from sessiond.core.values import Endpoint, Stdio, Tcp, Unix
from sessiond.tunnel.endpoint import EndpointConnection, Unreachable, dial
from tests.fakes.wires import Wire
from tests.reactor import within
from tests.results import failure_of, no_result_of, result_of

LIMIT_S = 30.0
PROGRAM = Tcp("127.0.0.1", 11000)


@implementer(IPushProducer)
class Unheard:
    """A producer that nobody asks."""

    def pauseProducing(self) -> None:
        """Take no note."""

    def resumeProducing(self) -> None:
        """Take no note."""

    def stopProducing(self) -> None:
        """Take no note."""


@define
class Ear:
    """Keeps what an endpoint does."""

    got: bytearray = field(factory=bytearray)
    ends: list[str] = field(factory=list)
    gone: Deferred[None] = field(factory=Deferred)

    def endpoint_sent(self, data: bytes) -> None:
        """Keep bytes."""
        self.got += data

    def endpoint_ended(self) -> None:
        """Keep that it ended."""
        self.ends.append("ended")

    def endpoint_broke(self, text: str) -> None:
        """Not told of a connection."""

    def endpoint_gone(self) -> None:
        """Keep that it is gone."""
        self.ends.append("gone")
        self.gone.callback(None)


class Dials:
    """Dials on a memory reactor."""

    def __init__(self, endpoint: Endpoint = PROGRAM, *, retry: bool = False) -> None:
        self.reactor: Any = MemoryReactorClock()
        clock = SteadyClock(self.reactor, self.reactor.seconds, 0.0)
        self.dialled = Deferred.fromCoroutine(dial(self.reactor, clock, endpoint, retry))

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self.reactor.tcpClients)

    def refuse(self) -> None:
        """Have the newest be refused."""
        self.reactor.tcpClients[-1][2].clientConnectionFailed(None, Failure(Refused()))

    def take(self, port: int = 1) -> Wire:
        """Have the newest be taken; ``port`` is the other end's."""
        wire = Wire(self.reactor, port)
        wire.protocol = self.reactor.tcpClients[-1][2].buildProtocol(None)
        wire.protocol.makeConnection(wire)
        return wire


def test_taken() -> None:
    """A connection that is taken is not read before somebody attaches."""
    dials = Dials()
    assert dials.reactor.tcpClients[0][:2] == ("127.0.0.1", 11000)
    wire = dials.take()
    connection = result_of(dials.dialled)
    assert wire.paused
    ear = Ear()
    connection.attach(ear, Unheard())
    wire.receive(b"hello")
    assert bytes(ear.got) == b"hello"


def test_refused() -> None:
    """Without a retry the first failure is the last."""
    dials = Dials()
    dials.refuse()
    failure_of(dials.dialled, Unreachable)
    assert dials.reactor.getDelayedCalls() == []


def test_retried() -> None:
    """With a retry the first pauses are short, and later ones no longer than a second."""
    dials = Dials(retry=True)
    pauses = []
    for _ in range(12):
        dials.refuse()
        (call,) = dials.reactor.getDelayedCalls()
        pauses.append(call.getTime() - dials.reactor.seconds())
        dials.reactor.advance(pauses[-1])
    assert pauses[0] == pytest.approx(0.05)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(1.0)
    no_result_of(dials.dialled)
    dials.take()
    assert isinstance(result_of(dials.dialled), EndpointConnection)


@pytest.mark.parametrize("paused", [True, False])
def test_cancelled(paused: bool) -> None:
    """A dial that is not wanted any more ends, between two attempts or within one."""
    dials = Dials(retry=True)
    if paused:
        dials.refuse()
    dials.dialled.cancel()
    failure_of(dials.dialled, CancelledError, ConnectingCancelledError)
    assert dials.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("retry", [True, False])
def test_connected_to_itself(retry: bool) -> None:
    """A dial that has met itself is let go, and counts as refused."""
    dials = Dials(retry=retry)
    wire = dials.take(port=2)
    assert wire.aborted
    if not retry:
        failure_of(dials.dialled, Unreachable)
        return
    dials.reactor.advance(0.05)
    dials.take()
    assert isinstance(result_of(dials.dialled), EndpointConnection)


def test_stdio() -> None:
    """A program's own pipes can't be dialled, however often it is tried."""
    failure_of(Dials(Stdio(), retry=True).dialled, Unreachable)


@within(LIMIT_S)
@pytest.mark.parametrize("kind", ["tcp", "name", "ipv6", "unix"])
async def test_real(tmp_path: Path, kind: str) -> None:
    """Every form of an endpoint can be dialled; bytes go both ways, and unread ones are counted."""
    from twisted.internet import reactor

    accepted: Deferred[Any] = Deferred()

    class Program(Protocol):
        def connectionMade(self) -> None:
            accepted.callback(self.transport)

    factory = Factory.forProtocol(Program)
    factory.noisy = False
    address: Any = {"ipv6": "::1"}.get(kind, "127.0.0.1")
    if kind == "unix":
        port = await UNIXServerEndpoint(reactor, str(tmp_path / "s")).listen(factory)
        endpoint: Endpoint = Unix(str(tmp_path / "s"))
    else:
        port = await TCP4ServerEndpoint(reactor, 0, interface=address).listen(factory)
        endpoint = Tcp("localhost" if kind == "name" else address, port.getHost().port)
    clock = SteadyClock(reactor)
    connection = await dial(reactor, clock, endpoint, retry=False)
    program = await accepted
    program.getHandle().send(b"abc")
    assert connection.unread_bytes() == 3
    ear = Ear()
    connection.attach(ear, Unheard())
    program.loseWriteConnection()
    while not ear.ends:
        await _turn(reactor)
    assert bytes(ear.got) == b"abc"
    assert ear.ends == ["ended"]
    assert connection.unread_bytes() == 0
    connection.finish(5.0)
    await ear.gone
    program.abortConnection()
    await port.stopListening()


@within(LIMIT_S)
@pytest.mark.parametrize("endpoint", [Tcp("127.0.0.1", 1), Unix("/nowhere/at/all"), Unix("/" + "x" * 200)])
async def test_nobody_there(endpoint: Endpoint) -> None:
    """Where nobody listens, or nobody can, it is unreachable."""
    from twisted.internet import reactor

    with pytest.raises(Unreachable):
        await dial(reactor, SteadyClock(reactor), endpoint, retry=False)


async def _turn(reactor: Any) -> None:
    turned: Deferred[None] = Deferred()
    reactor.callLater(0.002, turned.callback, None)
    await turned
