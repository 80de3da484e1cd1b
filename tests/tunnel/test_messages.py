"""Messages: whole ones between a client's WebSocket and the frames of a program's input and output."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock

from sessiond.clock import SteadyClock
from sessiond.core.services import Framing
from sessiond.core.values import End
from sessiond.ports import Direction, RelayLimits, StreamTaker
from sessiond.tunnel.framing import Rules
from sessiond.tunnel.messages import MessageReader, MessageSocket
from sessiond.tunnel.relay import ByteRelay
from sessiond.tunnel.stdio import StdioEndpoint
from tests.contracts.relay import Reports
from tests.fakes.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, Frames, close, frame
from tests.fakes.wires import Wire
from tests.reactor import LoggedFailures
from tests.tunnel.test_relay import unmask

LIMITS = RelayLimits(held_bytes=100, message_bytes=1000, ping_s=20, pong_s=10, stall_s=60, close_s=5)
LINES, LENGTH = Rules(Framing.LINES, True, 1000), Rules(Framing.LENGTH, False, 1000)


@define
class Program:
    """A program's standard streams, in the test's hand."""

    written: bytearray = field(factory=bytearray)
    taker: StreamTaker | None = None
    producer: Any = None
    rest: bytes = b""
    paused: bool = True
    given_up: bool = False
    stuck: bool = False

    def take(self, taker: StreamTaker, producer: IPushProducer) -> None:
        """Be taken."""
        self.taker, self.producer, self.paused = taker, producer, False
        rest, self.rest = self.rest, b""
        if rest:
            taker.received(rest)

    def leave(self, rest: bytes) -> None:
        """Be left."""
        self.taker, self.rest, self.paused = None, rest, True

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def pause(self) -> None:
        """Be read no more."""
        self.paused = True

    def resume(self) -> None:
        """Be read again."""
        self.paused = False

    def unread_bytes(self) -> int:
        """Have nothing unread."""
        return 0

    def give_up(self) -> None:
        """Be given up."""
        self.given_up = True

    def says(self, data: bytes) -> None:
        """Have the program say something."""
        assert self.taker is not None
        self.taker.received(data)

    def read(self) -> bytes:
        """Give what was written since this was asked last."""
        written = bytes(self.written)
        self.written.clear()
        return written


class Joint:
    """A client, a relay and a program's streams."""

    def __init__(self, rules: Rules | None, program: Program | None = None, observer: Any = None) -> None:
        self.clock = Clock()
        time = SteadyClock(self.clock, self.clock.seconds, 1000.0)
        self.client, self.program = Wire(self.clock), program or Program()
        self.reports, self.frames = Reports(), Frames()
        rules = rules or LENGTH
        socket = MessageSocket(MessageReader(unmask, rules), rules)
        self.client.protocol = socket
        socket.makeConnection(self.client)
        self.relay = ByteRelay(socket, LIMITS, time, self.reports, observer)
        self.endpoint = StdioEndpoint(self.program, time, rules)

    def join(self) -> Joint:
        """Join the two."""
        self.relay.join(self.endpoint)
        return self

    def sends(self, *frames: bytes) -> None:
        """Have the client send."""
        self.client.receive(b"".join(frames))

    def got(self) -> list[tuple[int, bytes]]:
        """Give what the client got since this was asked last."""
        return [(one.opcode, one.payload) for one in self.frames.read(self.client.sent())]


def test_both_ways() -> None:
    """A message of text is a line of the program's input, and a line of its output a message of text."""
    joint = Joint(LINES).join()
    joint.sends(frame(TEXT, b"one"), frame(TEXT, b""), frame(TEXT, b"tw", fin=False))
    joint.sends(frame(PING), frame(CONTINUATION, b"o"))
    assert joint.program.read() == b"one\n\ntwo\n"
    joint.program.says(b"a\nb")
    joint.program.says(b"c\n\n")
    assert joint.got()[1:] == [(TEXT, b"a"), (TEXT, b"bc"), (TEXT, b"")]


def test_lengths() -> None:
    """The same with bytes, which may hold anything."""
    joint = Joint(LENGTH).join()
    joint.sends(frame(BINARY, b"\n\0"))
    assert joint.program.read() == b"\x02\0\0\0\n\0"
    joint.program.says(b"\x02\0\0\0\n\0\x00\0\0\0")
    assert joint.got() == [(BINARY, b"\n\0"), (BINARY, b"")]
    assert (joint.relay.counters.up_bytes, joint.relay.counters.down_bytes) == (2, 2)


@given(st.lists(st.lists(st.binary(max_size=200), min_size=1, max_size=4)), st.integers(1, 300))
def test_any_split(messages: list[list[bytes]], size: int) -> None:
    """However a client cuts its messages, and the network its frames, the same messages come out."""
    told: list[bytes] = []
    reader = MessageReader(unmask, LENGTH)
    reader.tell = told.append
    stream = b"".join(
        frame(CONTINUATION if at else BINARY, part, fin=at == len(parts) - 1)
        for parts in messages
        for at, part in enumerate(parts)
    )
    for at in range(0, len(stream), size):
        received = reader.receive(stream[at : at + size])
        assert (received.payload, received.error) == (b"", None)
    assert told == [b"".join(parts) for parts in messages]


def test_held() -> None:
    """Messages that come before the program is there stay apart, empty ones too."""
    joint = Joint(LINES)
    joint.sends(frame(TEXT, b"one"), frame(TEXT, b""), frame(TEXT, b"two"))
    joint.join()
    assert joint.program.read() == b"one\n\ntwo\n"


@pytest.mark.parametrize(
    ("rules", "sent", "code"),
    [
        (LINES, frame(TEXT, b"a\nb"), 1007),
        (LINES, frame(TEXT, b"\xff"), 1007),
        (LINES, frame(TEXT, b"\xc3"), 1007),
        (LINES, frame(BINARY, b"a"), 1003),
        (LENGTH, frame(TEXT, b"a"), 1003),
        (LENGTH, frame(BINARY, b"x" * 1001), 1009),
        (LENGTH, frame(BINARY, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 600), 1009),
    ],
)
def test_refused(rules: Rules, sent: bytes, code: int) -> None:
    """A message that can't be carried closes its client with the code that says why; the program never sees it."""
    joint = Joint(rules).join()
    good = frame(TEXT if rules.text else BINARY, b"good")
    joint.sends(good, sent, good)
    ((opcode, payload),) = joint.got()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
    assert payload[2:]
    assert joint.program.read() == rules.frame(b"good")
    assert joint.reports.ends[0][0] is End.CLIENT
    # The client reads our end behind the close frame, and what it sends until it has read that is dropped.
    assert joint.client.half_closed
    assert not joint.client.closing


@pytest.mark.parametrize(
    ("rules", "said", "text"),
    [
        (LINES, b"x" * 1001, "the program sent too long a line"),
        (LINES, b"\xff\n", "the program sent text that is not UTF-8"),
        (LENGTH, b"\xff\xff\xff\xff", "the program sent too long a message"),
    ],
)
def test_a_program_that_breaks(rules: Rules, said: bytes, text: str) -> None:
    """A frame that is none ends both, and both sides are told why."""
    joint = Joint(rules).join()
    joint.program.says(rules.frame(b"good") + said)
    message, closed = joint.got()
    assert message[1] == b"good"
    assert closed == (CLOSE, (4500).to_bytes(2, "big") + text.encode())
    assert joint.reports.ends == [(End.BROKEN, text)]
    assert joint.program.given_up
    joint.sends(close(4500))
    joint.clock.advance(0)
    assert joint.reports.overs[0].code == 4500


def test_pressure() -> None:
    """Whoever refuses bytes keeps the other from being read."""
    joint = Joint(LINES).join()
    joint.program.producer.pauseProducing()
    assert joint.client.paused
    joint.program.producer.resumeProducing()
    assert not joint.client.paused
    joint.client.refuse()
    assert joint.program.paused
    joint.client.take()
    assert not joint.program.paused


def test_the_next_client() -> None:
    """A program outlives its clients: the next one gets the message whose beginning the last one had not got."""
    program = Program()
    first = Joint(LINES, program).join()
    program.says(b"one\ntw")
    first.sends(close(1000))
    first.clock.advance(0)
    assert next(text for _, text in first.got()) == b"one"
    assert first.reports.overs
    assert program.taker is None
    second = Joint(LINES, program).join()
    program.says(b"o\n")
    assert second.got() == [(TEXT, b"two")]


def test_the_program_ends() -> None:
    """The end of its output is the endpoint's end; the client stays until it is cut."""
    joint = Joint(LINES).join()
    assert joint.program.taker is not None
    joint.program.taker.ended()
    joint.clock.advance(0)
    assert joint.reports.ends == [(End.ENDPOINT, "")]
    assert not joint.client.closing


def test_displaced() -> None:
    """Another client that takes the streams is the endpoint's end for the first."""
    joint = Joint(LINES).join()
    assert joint.program.taker is not None
    joint.program.taker.displaced()
    joint.clock.advance(0)
    assert joint.reports.ends == [(End.ENDPOINT, "")]


def test_let_go_before_it_was_taken() -> None:
    """An endpoint that nobody attaches to leaves the streams alone."""
    joint = Joint(LINES)
    joint.sends(close(1000))
    joint.clock.advance(0)
    joint.join()
    assert joint.program.taker is None


def test_observed() -> None:
    """An observer sees whole messages with their instants, both ways."""
    seen: list[tuple[Direction, bytes, float]] = []
    joint = Joint(LINES, observer=lambda *what: seen.append(what)).join()
    joint.clock.advance(1)
    joint.sends(frame(TEXT, b"on", fin=False), frame(CONTINUATION, b"e"))
    joint.clock.advance(1)
    joint.program.says(b"two\nth")
    assert seen == [(Direction.UP, b"one", 1001.0), (Direction.DOWN, b"two", 1002.0)]


def test_an_observer_that_raises(logged_failures: LoggedFailures) -> None:
    """What it raises is logged; it is not asked again, and the tunnel goes on."""
    asked: list[bytes] = []

    def observe(direction: Direction, payload: bytes, at: float) -> None:
        asked.append(payload)
        raise RuntimeError("a mistake")

    joint = Joint(LINES, observer=observe).join()
    joint.sends(frame(TEXT, b"one"), frame(TEXT, b"two"))
    joint.program.says(b"three\n")
    assert joint.program.read() == b"one\ntwo\n"
    assert joint.got() == [(TEXT, b"three")]
    assert asked == [b"one"]
    assert len(logged_failures.take(RuntimeError)) == 1
