"""A listener's door: how soon a connection must have asked, and how many there may be."""

from typing import cast

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import directlyProvides

from sessiond.config import Patience
from sessiond.web.door import Door, DoorChannel, DoorSite, shown_path, source_of

HEADERS_S = Patience().headers_s
STALL_S = Patience().stall_s
HERE = IPv4Address("TCP", "127.0.0.1", 1)
THERE = IPv4Address("TCP", "192.0.2.1", 1)
GET = b"GET /a?token=canary HTTP/1.1\r\nHost: x\r\n\r\n"


class Answers(Resource):
    """Answers at once, or, below ``/slow``, when the test says so."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Request] = []

    def render_GET(self, request: Request) -> int | bytes:
        """Answer."""
        if request.path == b"/slow":
            self.waiting.append(request)
            return NOT_DONE_YET
        return b"ok"


class Transport(StringTransport):
    """A connection that says whether it is open, as real ones do."""

    connected = True

    def is_open(self) -> bool:
        """Say so."""
        return self.connected

    def loseConnection(self) -> None:
        """Take note of it; nothing waits to be sent here."""
        self.connected = False
        super().loseConnection()


class SecureTransport(Transport):
    """A connection below TLS."""

    aborted = False

    def __init__(self) -> None:
        super().__init__()
        directlyProvides(self, ISSLTransport)

    def abortConnection(self) -> None:
        """Take note of it."""
        self.aborted = True
        super().abortConnection()

    def getPeerCertificate(self) -> None:
        """Give none."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing waits here."""


class House:
    """A site with its clock."""

    def __init__(self, door: Door | None = None) -> None:
        self.clock, self.root = Clock(), Answers()
        self.statuses: list[int] = []
        self.site = DoorSite(self.root, self.clock, door or Door(), self.statuses.append)

    def call(self, address: IAddress = HERE) -> tuple[DoorChannel, Transport] | None:
        """Connect; ``None`` where that was turned away."""
        channel, transport = self.site.buildProtocol(address), Transport()
        channel.makeConnection(transport)
        return (channel, transport) if transport.is_open() else None

    def enter(self, address: IAddress = HERE) -> tuple[DoorChannel, Transport]:
        """Connect, which must succeed."""
        entered = self.call(address)
        assert entered is not None
        return entered


def lose(channel: DoorChannel) -> None:
    """End a connection."""
    channel.connectionLost()


def test_answer_and_end() -> None:
    """A request is answered, and nothing waits once its connection is gone."""
    house = House()
    channel, transport = house.enter()
    channel.dataReceived(GET)
    assert transport.value().endswith(b"\r\n\r\nok")
    assert house.statuses == [200]
    lose(channel)
    assert house.clock.getDelayedCalls() == []


def test_silent_client() -> None:
    """A client that connects and says nothing is turned away."""
    house = House()
    channel, transport = house.enter()
    house.clock.advance(HEADERS_S - 0.1)
    assert transport.is_open()
    house.clock.advance(0.2)
    assert transport.value().startswith(b"HTTP/1.1 408 ")
    assert not transport.is_open()
    lose(channel)
    assert house.clock.getDelayedCalls() == []


@pytest.mark.parametrize("head", [b"", GET])
def test_dribbling_client(head: bytes) -> None:
    """One that sends a byte now and then wins no time by it, with its first request or a later one."""
    house = House()
    channel, transport = house.enter()
    if head:
        channel.dataReceived(head)
        house.clock.advance(20.0)
        transport.clear()
    channel.dataReceived(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(12):
        channel.dataReceived(b"a")
        house.clock.advance(HEADERS_S / 11)
    assert transport.value().startswith(b"HTTP/1.1 408 ")
    lose(channel)
    assert house.clock.getDelayedCalls() == []


def test_waiting_between_requests() -> None:
    """Between requests a connection may rest for longer."""
    house = House()
    channel, transport = house.enter()
    channel.dataReceived(GET)
    house.clock.advance(5 * HEADERS_S)
    channel.dataReceived(GET)
    assert house.statuses == [200, 200]
    assert transport.is_open()
    lose(channel)


def test_slow_answer() -> None:
    """How long an answer takes is not the client's matter, nor what it has sent behind the request."""
    house = House()
    channel, transport = house.enter()
    channel.dataReceived(GET.replace(b"/a", b"/slow") + GET[:10])
    house.clock.advance(10 * HEADERS_S)
    assert transport.is_open()
    house.root.waiting[0].write(b"late")
    house.root.waiting[0].finish()
    channel.dataReceived(GET[10:])
    assert house.statuses == [200, 200]
    channel.dataReceived(GET.replace(b"/a", b"/slow") + GET[:10])
    house.root.waiting[1].finish()
    house.clock.advance(2 * HEADERS_S)
    assert not transport.is_open()
    lose(channel)
    assert house.clock.getDelayedCalls() == []


def test_handshake() -> None:
    """Over TLS the handshake has a time of its own, in which nothing can be said, and the request one from there."""
    house = House()
    for shakes_hands in (False, True):
        channel, transport = house.site.buildProtocol(HERE), SecureTransport()
        channel.makeConnection(transport)
        house.clock.advance(Patience().handshake_s - 0.1)
        assert transport.is_open()
        if shakes_hands:
            channel.handshakeCompleted()
            house.clock.advance(HEADERS_S - 0.1)
            assert transport.is_open()
        house.clock.advance(0.2)
        assert transport.value().startswith(b"HTTP/1.1 408 ") == shakes_hands
        assert transport.aborted != shakes_hands
        lose(channel)
    assert house.clock.getDelayedCalls() == []


def test_unread_answer() -> None:
    """Who does not read an answer is dropped, however often more is written; who reads late, but in time, is not."""
    house = House()
    channel, transport = house.enter()
    channel.dataReceived(GET.replace(b"/a", b"/slow"))
    request = house.root.waiting[0]
    for reads in (True, False):
        for _ in range(2):
            request.write(b"x")
            channel.pauseProducing()
            house.clock.advance(STALL_S / 2 - 1)
        if reads:
            channel.resumeProducing()
            house.clock.advance(2 * STALL_S)
        assert transport.is_open()
    house.clock.advance(2)
    assert transport.disconnected
    lose(channel)
    assert house.clock.getDelayedCalls() == []


def test_unread_last_answer() -> None:
    """Who does not let a connection go that is to be closed has it taken away."""
    house = House()
    channel, transport = house.enter()
    channel.dataReceived(GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    assert not transport.is_open()
    house.clock.advance(STALL_S - 1)
    assert not transport.disconnected
    house.clock.advance(2)
    assert transport.disconnected
    lose(channel)
    assert house.clock.getDelayedCalls() == []


def test_nothing_behind_the_last_request() -> None:
    """What comes while a connection closes is not read, whoever delivers it."""
    house = House()
    channel, _ = house.enter()
    channel.dataReceived(GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    channel.dataReceived(GET)
    other, _ = house.enter()
    other.dataReceived(b"nonsense\r\n\r\n")
    other.dataReceived(GET)
    assert house.statuses == [200, 400]
    lose(channel)
    lose(other)


def test_rest_ends() -> None:
    """A connection on which nothing more is asked for is closed."""
    house = House()
    channel, transport = house.enter()
    channel.dataReceived(GET)
    house.clock.advance(Patience().idle_s - 1)
    assert transport.is_open()
    house.clock.advance(2)
    assert not transport.is_open()
    lose(channel)
    assert house.clock.getDelayedCalls() == []


def test_patience_of_a_listener() -> None:
    """A listener's own limits count."""
    clock, statuses = Clock(), list[int]()
    site = DoorSite(Answers(), clock, Door(), statuses.append, Patience(headers_s=1.0, body_s=2.0))
    for sent, limit_s in ((b"GET", 1.0), (GET.replace(b"Host: x", b"Host: x\r\nContent-Length: 9"), 2.0)):
        channel, transport = site.buildProtocol(HERE), Transport()
        channel.makeConnection(transport)
        channel.dataReceived(sent)
        clock.advance(limit_s - 0.1)
        assert transport.is_open()
        clock.advance(0.2)
        assert not transport.is_open()
        lose(channel)
    assert statuses == [408, 408]


def test_full_house() -> None:
    """Beyond the most connections nobody is let in before somebody leaves."""
    house = House(Door(connections=2))
    first, _ = house.enter()
    house.enter(THERE)
    assert house.call() is None
    lose(first)
    house.enter()
    assert house.call(THERE) is None


def test_one_address() -> None:
    """One address has its own limit; on a UNIX socket nobody has one."""
    house = House(Door(connections=5, per_address=1))
    first, _ = house.enter(THERE)
    assert house.call(THERE) is None
    house.enter(HERE)
    house.enter(UNIXAddress(None))
    house.enter(UNIXAddress(None))
    lose(first)
    house.enter(THERE)
    house.enter(UNIXAddress(None))
    assert house.call(UNIXAddress(None)) is None


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::/64"),
    ],
)
def test_sources(host: str, source: str) -> None:
    """Who has a network of IPv6 addresses is one client, and so is who comes by IPv4 to an IPv6 listener."""
    kind = IPv6Address if ":" in host else IPv4Address
    assert source_of(kind("TCP", host, 1)) == source


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("/", "/"),
        ("/api/v1/sessions/desktop-k3v9q2/log?lines=1", "/api/v1/sessions/desktop-k3v9q2/log"),
        (f"/api/v1/sessions/{'a' * 32}-k3v9q2", f"/api/v1/sessions/{'a' * 32}-k3v9q2"),
        ("/novnc/core/input/KeyboardUtil.js", "/novnc/core/input/KeyboardUtil.js"),
        ("//tunnel//?token=x", "//tunnel//"),
        (f"/{'aB3_' * 10}x/log", "/[hidden]/log"),
        (f"/{'aB3_' * 6}", "/[hidden]"),
        ("/%74%6f%6b%65%6e", "/[hidden]"),
        ("/tunnel;token=x", "/[hidden]"),
        ("http://user:x@host/a", "[hidden]//[hidden]/a"),
        ("/caf\xe9\n", "/[hidden]"),
        ("*", "*"),
    ],
)
def test_shown_path(uri: str, shown: str) -> None:
    """The log shows names of files and sessions, and nothing that could be a secret in the wrong place."""
    assert shown_path(uri) == shown


def test_nothing_piles_up() -> None:
    """Who came and went leaves nothing behind."""
    house = House()
    for number in range(50):
        channel, _ = house.enter(IPv4Address("TCP", f"192.0.2.{number}", 1))
        lose(channel)
        lose(channel)
    crowd = house.site._crowd
    assert crowd._of == {}
    assert crowd._count == 0


def test_log_lines() -> None:
    """The log tells of answers, without the query, and of those turned away, but not of each."""
    seen: list[LogEvent] = []
    observer = cast("ILogObserver", seen.append)
    globalLogPublisher.addObserver(observer)
    try:
        house = House(Door(connections=1))
        channel, _ = house.enter()
        channel.dataReceived(GET)
        for _ in range(100):
            assert house.call() is None
        house.clock.advance(20.0)
        assert house.call() is None
    finally:
        globalLogPublisher.removeObserver(observer)
    assert "canary" not in str(seen)
    assert [event["path"] for event in seen if "path" in event] == ["/a"]
    assert [event["count"] for event in seen if "too many" in str(event["log_format"])] == [1, 100]
    lose(channel)
