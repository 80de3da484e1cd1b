"""The connection itself against what is no RabbitMQ: whatever the other side does, it ends with a reason."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from twisted.protocols.portforward import ProxyFactory

from sessiond.bus.amqp import AmqpBus, Login, Server, Standing, link
from sessiond.clock import SteadyClock
from sessiond.entropy import SystemEntropy
from sessiond.stores.memory import MemoryStore
from tests.bus.lines import Lines
from tests.certificates import write_certificate
from tests.components.rabbitmq import PASSWORD, USER, RabbitMQ, until
from tests.reactor import within
from tests.results import result_of


class Says(Protocol):
    """Says something to whoever comes, and hangs up if that is all that it does."""

    said, hangs_up = b"", False

    def dataReceived(self, data: bytes) -> None:
        """Answer the first bytes, and any behind them."""
        assert self.transport is not None
        self.transport.write(self.said)
        if self.hangs_up:
            self.transport.loseConnection()


Join = Callable[[Server], Coroutine[Any, Any, AmqpBus]]


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Give the lines of the log."""
    lines = Lines()
    globalLogPublisher.addObserver(lines)
    yield lines.kept
    globalLogPublisher.removeObserver(lines)


@pytest.fixture
def join() -> Iterator[Join]:
    """Give what starts a bus; when the test is over, however it is, each is stopped."""
    from twisted.internet import reactor

    started: list[AmqpBus] = []

    async def join(server: Server) -> AmqpBus:
        clock = SteadyClock(reactor)
        store = MemoryStore()
        result_of(store.open())
        bus = AmqpBus(server, store, store.shelf("amqp"), "E", "/test", reactor, clock, SystemEntropy())
        started.append(bus)
        await bus.start()
        return bus

    yield join
    for bus in started:
        pytest_twisted.blockon(Deferred.fromCoroutine(bus.stop()))


@pytest.mark.parametrize(
    ("said", "hangs_up", "reason"),
    [
        (b"", True, "dropped before it was ready"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "again in"),
        (b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\xce", False, "what it sent is not understood"),
        (b"\x01\x00\x00\xff\xff\xff\xff" + bytes(64), False, "does not let us in within 1 s"),
    ],
)
@within(60)
async def test_strangers(
    said: bytes, hangs_up: bool, reason: str, join: Join, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is given up with a reason, tried again, and leaves no error that nobody reads."""
    from twisted.internet import reactor

    monkeypatch.setattr(link, "READY_S", 1.0)
    factory = Factory.forProtocol(type("Stranger", (Says,), {"said": said, "hangs_up": hangs_up}))
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port: Any = await endpoint.listen(factory)
    bus = await join(Server("127.0.0.1", port.getHost().port, Login(USER, PASSWORD)))
    await until(lambda: any(reason in line for line in lines))
    await until(lambda: sum("again in" in line for line in lines) >= (2 if hangs_up else 1))
    assert bus.standing is Standing.AWAY
    await bus.stop()
    await port.stopListening()
    assert not any(PASSWORD in line for line in lines)


# Twisted's own, on both sides.
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
@within(60)
async def test_tls(tmp_path: Path, rabbitmq: RabbitMQ, join: Join, lines: list[str]) -> None:
    """TLS is spoken where it is configured, and only with a server whose certificate is trusted."""
    from twisted.internet import reactor

    key, certificate = write_certificate(tmp_path)
    front = serverFromString(reactor, f"ssl:0:privateKey={key}:certKey={certificate}:interface=127.0.0.1")
    port: Any = await front.listen(ProxyFactory("127.0.0.1", rabbitmq.port))
    server = Server("localhost", port.getHost().port, Login(USER, PASSWORD), tls=True)
    distrusting = await join(server)
    await until(lambda: any("certificate verify failed" in line for line in lines))
    await distrusting.stop()
    bus = await join(evolve(server, trusted=certificate.read_bytes()))
    await until(lambda: bus.standing is Standing.UP)
    await bus.stop()
    await port.stopListening()
