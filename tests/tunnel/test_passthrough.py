"""Connections that are passed through: the request, the program's answer, and then byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from sessiond.clock import SteadyClock
from sessiond.core.values import End
from sessiond.ports import Close, Direction, RelayLimits
from sessiond.tunnel.endpoint import EndpointConnection
from sessiond.tunnel.passthrough import ANSWER_S, HEAD_BYTES, RawSocket, UpgradingEndpoint, request_head
from sessiond.tunnel.relay import ByteRelay
from tests.contracts.relay import Reports
from tests.fakes.wires import Wire

LIMITS = RelayLimits(held_bytes=100, message_bytes=1000, ping_s=20, pong_s=10, stall_s=60, close_s=5)
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 101 Over to you\r\nX-Any: Thing\r\n\r\n"


class Joint:
    """A client, a relay and a program."""

    def __init__(self, observer: Any = None) -> None:
        self.clock = Clock()
        self.time = time = SteadyClock(self.clock, self.clock.seconds, 1000.0)
        self.client, self.program, self.reports = Wire(self.clock), Wire(self.clock), Reports()
        socket = RawSocket(REQUEST, lambda close: f"no: {close.text}".encode())
        self.client.protocol = socket
        socket.makeConnection(self.client)
        self.relay = ByteRelay(socket, LIMITS, time, self.reports, observer)
        self.connection = EndpointConnection(time)
        self.connection.unread_bytes = lambda: 0  # type: ignore[method-assign]
        self.program.protocol = self.connection
        self.connection.makeConnection(self.program)

    def join(self) -> Joint:
        """Join the two."""
        self.relay.join(UpgradingEndpoint(self.connection, self.time))
        return self

    def opened(self) -> Joint:
        """Join them, and have the program take the connection."""
        self.join()
        self.program.receive(ANSWER)
        assert self.client.sent() == ANSWER
        assert self.program.sent() == REQUEST
        return self

    def refusal(self) -> str:
        """Give why the client has no connection, as it was told."""
        told = self.client.sent()
        assert told.startswith(b"no: ")
        assert self.client.closing
        return told[4:].decode()


def test_both_ways() -> None:
    """The request goes to the program, its answer comes back unchanged, and so does everything after that."""
    joint = Joint().opened()
    joint.client.receive(b"\x01\x02")
    joint.program.receive(b"\x03")
    joint.program.receive(b"\x04")
    assert joint.program.sent() == b"\x01\x02"
    assert joint.client.sent() == b"\x03\x04"


def test_an_answer_in_pieces() -> None:
    """However the answer is cut, nothing of it goes on before it is known to be the right one."""
    joint = Joint().join()
    for byte in ANSWER[:-1]:
        joint.program.receive(bytes((byte,)))
    assert joint.client.sent() == b""
    joint.program.receive(ANSWER[-1:] + b"first bytes")
    assert joint.client.sent() == ANSWER + b"first bytes"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 1010 Strange\r\n\r\n",
        b"HTTP/1.0 101 Old\r\n\r\n",
        b"RFB 003.008\n\r\n\r\n",
        b"x" * (HEAD_BYTES + 1),
    ],
)
def test_another_answer(answer: bytes) -> None:
    """With anything but 101 there is no connection, and nothing of it goes on."""
    joint = Joint().join()
    joint.program.receive(answer)
    assert joint.reports.ends == [(End.BROKEN, joint.refusal())]
    joint.program.end()
    joint.clock.advance(0)
    assert joint.reports.overs


def test_no_answer() -> None:
    """A program that closes instead is one too, and its port is left free."""
    joint = Joint().join()
    joint.program.end()
    assert joint.refusal() == "the application closed without an answer"
    joint.clock.advance(LIMITS.close_s)
    assert joint.program.aborted
    assert joint.reports.overs


def test_silence_instead_of_an_answer() -> None:
    """A program that says nothing to the request is not waited for long."""
    joint = Joint().join()
    joint.program.receive(ANSWER[:-1])
    joint.clock.advance(ANSWER_S - 0.1)
    assert joint.client.sent() == b""
    joint.clock.advance(0.1)
    assert joint.refusal() == "the application did not answer in time"


def test_cut_while_it_waits() -> None:
    """A client whose program never comes gets an answer that says so."""
    joint = Joint()
    joint.relay.cut(Close(4503, "launch-failed"), 0.0)
    assert joint.refusal() == "launch-failed"


def test_the_program_ends() -> None:
    """What it sent is delivered, and the client is closed at once: nothing that anybody says later could reach it."""
    joint = Joint().opened()
    joint.program.receive(b"the end")
    joint.program.end()
    assert joint.reports.ends == [(End.ENDPOINT, "")]
    assert joint.client.sent() == b"the end"
    joint.clock.advance(0)
    assert joint.client.gone
    assert joint.program.gone
    assert [over.code for over in joint.reports.overs] == [1000]
    joint.relay.cut(Close(4500, "exited"), 5.0)


def test_the_client_sends_no_more() -> None:
    """The program reads the end, and what it still sends arrives; nothing of ours is between its bytes."""
    joint = Joint().opened()
    joint.client.receive(b"a question")
    joint.client.end()
    assert joint.program.half_closed
    joint.clock.advance(1)
    joint.program.receive(b"an answer")
    joint.program.end()
    assert joint.client.sent() == b"an answer"
    joint.clock.advance(0)
    assert joint.client.gone
    assert joint.program.gone


def test_the_client_ends() -> None:
    """What it sent is delivered, and the program reads the end."""
    joint = Joint().opened()
    joint.client.receive(b"bye")
    joint.client.vanish()
    assert joint.program.sent() == b"bye"
    assert joint.program.half_closed
    joint.program.end()
    joint.clock.advance(0)
    assert joint.reports.overs[0].code == 1006


def test_pressure() -> None:
    """Whoever refuses bytes keeps the other from being read, and not for ever."""
    joint = Joint().opened()
    joint.client.refuse()
    assert joint.program.paused
    joint.client.take()
    assert not joint.program.paused
    joint.program.refuse()
    assert joint.client.paused
    joint.clock.pump([1] * int(LIMITS.stall_s))
    assert joint.reports.ends == [(End.OURS, "the application takes no bytes")]


def test_silence() -> None:
    """A client that says nothing is not ours to ping: it stays."""
    joint = Joint().opened()
    for _ in range(10):
        joint.clock.advance(LIMITS.ping_s)
    assert joint.client.sent() == b""
    assert joint.reports.ends == []


def test_observed() -> None:
    """An observer sees what goes through, from the request on, and changes nothing."""
    seen: list[tuple[Direction, bytes]] = []
    joint = Joint(lambda direction, payload, at: seen.append((direction, payload))).opened()
    joint.client.receive(b"up")
    joint.program.receive(b"down")
    assert seen == [
        *((Direction.UP, REQUEST), (Direction.DOWN, ANSWER)),
        *((Direction.UP, b"up"), (Direction.DOWN, b"down")),
    ]


def test_request() -> None:
    """The program learns what it must for its answer, and nothing that proves who somebody is."""
    head = request_head(
        b"/socket?a=b",
        [
            *((b"Host", b"localhost"), (b"Cookie", b"c=secret"), (b"Authorization", b"Bearer secret")),
            *((b"Upgrade", b"websocket"), (b"Connection", b"keep-alive, Upgrade"), (b"Sec-WebSocket-Key", b"k")),
            *((b"X-Forwarded-For", b"192.0.2.1"), (b"sec-websocket-protocol", b"p"), (b"Origin", b"http://localhost")),
        ],
    )
    assert head.split(b"\r\n") == [
        b"GET /socket?a=b HTTP/1.1",
        b"Host: localhost",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Key: k",
        b"Sec-WebSocket-Protocol: p",
        b"Origin: http://localhost",
        b"Connection: Upgrade",
        b"",
        b"",
    ]
