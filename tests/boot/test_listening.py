"""Listeners: bound at once, read when the daemon is ready, and told by name where they can't be."""

import socket
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from sessiond.boot.listening import ListenError, bind
from sessiond.config import Face, Listener
from tests.daemon import free_port
from tests.reactor import within


class Echo(Protocol):
    """Answers what it is sent, and goes."""

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        assert self.transport is not None
        self.transport.write(data)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take note of it."""
        assert isinstance(self.factory, Echoes)
        self.factory.served.callback(None)


class Echoes(Factory[Echo]):
    """Counts those who came."""

    def __init__(self) -> None:
        self.came = 0
        self.served: Deferred[None] = Deferred()

    def buildProtocol(self, addr: IAddress | None) -> Echo:
        """Let one in."""
        self.came += 1
        protocol = Echo()
        protocol.factory = self
        return protocol


def listener(endpoint: str, public_url: str | None = None) -> Listener:
    """Describe a listener."""
    return Listener("web", endpoint, frozenset(Face), public_url=public_url)


@within(30)
async def test_waits_in_the_backlog() -> None:
    """A client that comes before the daemon is ready waits, and is served then."""
    from twisted.internet import reactor

    echoes = Echoes()
    bound = await bind(reactor, listener("tcp:0:interface=127.0.0.1"), echoes)
    port = bound.port.getHost().port

    def call() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"hello")
            connected.set()
            return client.recv(100)

    from threading import Event

    connected = Event()
    answer = deferToThread(call)
    await deferToThread(connected.wait, 20)
    assert echoes.came == 0
    bound.accept()
    assert await answer == b"hello"
    await echoes.served
    await bound.close()

TAKEN = r"^listeners\.web: can't listen on port \d+ of 127\.0\.0\.1: Address already in use$"


@within(30)
async def test_taken_port() -> None:
    """A port that is taken is told with the listener's name."""
    from twisted.internet import reactor

    with socket.create_server(("127.0.0.1", 0)) as squatter:
        endpoint = f"tcp:{squatter.getsockname()[1]}:interface=127.0.0.1"
        with pytest.raises(ListenError, match=TAKEN):
            await bind(reactor, listener(endpoint), Echoes())


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("tcp:0:interface=192.0.2.1", "Cannot assign requested address"),
        ("unix:/nowhere/at/all", "No such file or directory"),
        ("systemd:domain=INET:name=none", "systemd has handed over no such socket"),
        ("systemd:domain=INET:index=7", "systemd has handed over no such socket"),
        ("ssl:0:privateKey=/nowhere.pem:certKey=/nowhere.pem", "/nowhere.pem: No such file or directory"),
    ],
)
@within(30)
async def test_impossible(endpoint: str, told: str) -> None:
    """What can't be opened is told in words of people."""
    from twisted.internet import reactor

    with pytest.raises(ListenError, match=told):
        await bind(reactor, listener(endpoint), Echoes())


@within(30)
async def test_urls(tmp_path: Path) -> None:
    """A listener knows the URL that people open: its public one, else where it listens; a socket has none."""
    from twisted.internet import reactor

    port = free_port()
    cases = [
        (listener(f"tcp:{port}:interface=127.0.0.1"), f"http://127.0.0.1:{port}/"),
        (listener(f"tcp:{port}"), f"http://127.0.0.1:{port}/"),
        (listener(f"tcp:{port}:interface=127.0.0.1", "https://h/x"), "https://h/x/"),
        (listener(f"unix:{tmp_path}/s"), None),
    ]
    for described, url in cases:
        bound = await bind(reactor, described, Echoes())
        assert bound.url == url
        await bound.close()
