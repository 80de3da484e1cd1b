"""Asking over HTTP, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from sessiond.core.values import Tcp, Unix
from sessiond.launchers.probe import AGAIN_S, ANSWER_S, STATUS_LINE_BYTES, HttpProbe, request_for

HERE = Tcp("127.0.0.1", 11000)


class Asked:
    """A probe, and the connections it makes."""

    def __init__(self, may_connect: bool = True) -> None:
        self.reactor = MemoryReactorClock()
        self.served: list[bool] = []
        self.may_connect = may_connect
        self.probe = HttpProbe(self.reactor, HERE, "/up", lambda: self.may_connect, lambda: self.served.append(True))
        self.reactor.advance(0)

    @property
    def dials(self) -> int:
        """How often it has connected."""
        return len(self.reactor.tcpClients)

    def accept(self) -> tuple[Any, StringTransport]:
        """Accept the newest connection."""
        factory = self.reactor.tcpClients[-1][2]
        protocol: Any = factory.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def answer(self, data: bytes) -> StringTransport:
        """Accept the newest connection and answer on it."""
        protocol, transport = self.accept()
        protocol.dataReceived(data)
        return transport


@pytest.fixture
def asked() -> Iterator[Asked]:
    """Give a probe that has just connected."""
    asked = Asked()
    assert asked.dials == 1
    yield asked
    asked.probe.stop()
    asked.reactor.advance(0)
    assert [call for call in asked.reactor.getDelayedCalls() if call.active()] == []


@pytest.mark.parametrize("status", [200, 204, 302, 401, 404, 499])
def test_serves(asked: Asked, status: int) -> None:
    """Any status below 500 shows that it serves; the connection is closed without reading more."""
    transport = asked.answer(b"HTTP/1.1 %d Whatever\r\n" % status)
    assert asked.served == [True]
    assert transport.disconnecting or transport.disconnected
    assert transport.value().startswith(b"GET /up HTTP/1.1\r\nHost: 127.0.0.1:11000\r\n")
    asked.reactor.advance(10)
    assert asked.dials == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Soon\r\n", b"x" * (STATUS_LINE_BYTES + 1), b"HTTP/1.1 5"])
def test_asks_again(asked: Asked, answer: bytes) -> None:
    """After another status, nonsense or silence it is asked again."""
    asked.answer(answer)
    asked.reactor.pump([ANSWER_S, AGAIN_S, 0])
    assert asked.served == []
    assert asked.dials == 2
    asked.answer(b"HTTP/1.0 200\r\n")
    assert asked.served == [True]


def test_refused(asked: Asked) -> None:
    """A refused connection is tried again."""
    factory: Any = asked.reactor.tcpClients[-1][2]
    factory.clientConnectionFailed(None, Failure(Refused()))
    asked.reactor.advance(AGAIN_S)
    assert asked.dials == 2


def test_closed_without_answer(asked: Asked) -> None:
    """A connection that ends without an answer is made again."""
    protocol, _ = asked.accept()
    protocol.connectionLost(Failure(Refused()))
    asked.reactor.advance(AGAIN_S)
    assert asked.dials == 2


def test_stopped(asked: Asked) -> None:
    """A stopped probe does nothing more."""
    asked.probe.stop()
    asked.probe.stop()
    asked.reactor.advance(10)
    assert (asked.served, asked.dials) == ([], 1)


def test_waits_for_its_own_socket() -> None:
    """Nothing is connected while the socket is not the program's."""
    asked = Asked(may_connect=False)
    asked.reactor.pump([AGAIN_S] * 5)
    assert asked.dials == 0
    asked.may_connect = True
    asked.reactor.advance(AGAIN_S)
    assert asked.dials == 1
    asked.probe.stop()


def test_request_over_unix() -> None:
    """Over a UNIX socket the host has a name that every server takes."""
    assert b"\r\nHost: localhost\r\n" in request_for(Unix("/run/a"), "/")
