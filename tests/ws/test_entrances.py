"""An entrance of one's own: it may take its time, and has words of its own for those it does not let in."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from sessiond.broker import Reservation
from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import State
from sessiond.web.answers import Answer
from sessiond.ws.channel import EARLY_BYTES
from tests.fakes.frames import BINARY, frame, payload_of, request
from tests.ws.indoors import Indoors, Visitor

ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class SlowEntrance:
    """Gives a session when it is told to, and refuses in one word."""

    def __init__(self) -> None:
        self.cancelled = False
        self.found: Deferred[Session] = Deferred(self._cancelled)

    def _cancelled(self, found: Deferred[Session]) -> None:
        self.cancelled = True

    async def session(self, request: Request) -> Session:
        """Wait."""
        return await self.found

    def refusal(self, request: Request, refused: Refused) -> Answer:
        """Say it in one word."""
        return Answer({"word": refused.code.value}, 418)

    def target(self, request: Request) -> bytes:
        """Give a path that is not the client's."""
        return b"/inside?x=1"


class Waiting(Indoors):
    """A house with a slow entrance, and one client in front of it."""

    def __init__(self, service: str = "desk") -> None:
        super().__init__()
        self.entrance = SlowEntrance()
        self.root.putChild(b"slow", self.tunnels.entrance(self.entrance))
        self.made: Reservation = self.reserve(service)
        self.visitor: Visitor = self.visit(request("/slow?token=secret"))
        assert self.visitor.status == 0

    def let_in(self) -> None:
        """Give the session."""
        self.entrance.found.callback(self.made.session)
        self.advance(0)
        self.visitor.look()


def test_let_in_late() -> None:
    """What the client sent before it had a session arrives."""
    house = Waiting()
    house.visitor.send(frame(BINARY, b"early ") + frame(BINARY, b"bird"))
    house.let_in()
    assert house.visitor.status == 101
    program = house.answer_dial()
    assert program.sent() == b"early bird"
    program.receive(b"worm")
    assert payload_of(house.visitor.look().read) == b"worm"


def test_as_much_as_may_be() -> None:
    """It may send much, in pieces of any size, and all of it arrives in order."""
    house = Waiting("viewer")
    sent = bytes(range(256)) * (EARLY_BYTES // 256)
    for at in range(0, len(sent), 4099):
        house.visitor.send(sent[at : at + 4099])
    assert house.visitor.look().status == 0
    house.let_in()
    program = house.answer_dial()
    head, _, early = program.sent().partition(b"\r\n\r\n")
    assert head.startswith(b"GET /inside?x=1 HTTP/1.1\r\n")
    assert b"secret" not in head
    program.receive(ANSWER)
    assert early + program.sent() == sent


def test_too_much() -> None:
    """One byte more is refused, in the entrance's words, and nobody waits for its session any more."""
    house = Waiting()
    house.visitor.send(b"x" * (EARLY_BYTES + 1))
    house.advance(0)
    assert house.entrance.cancelled
    assert house.visitor.look().status == 418
    assert house.visitor.problem == {"word": "bad-request"}
    assert house.tunnels_of(house.made) == 0


def test_hangs_up() -> None:
    """A client that hangs up is noticed at once, also behind what it has sent."""
    for early in (b"", b"x" * 40_000):
        house = Waiting()
        if early:
            house.visitor.send(early)
        house.visitor.wire.vanish()
        house.advance(0)
        assert house.entrance.cancelled
        assert house.tunnels.meters().open == 0
        assert house.state(house.made) is State.READY


def test_refused() -> None:
    """A refusal is worded by the entrance, and nothing behind it is read as a request."""
    house = Waiting()
    house.entrance.found.errback(Refused(Code.FULL))
    house.advance(0)
    assert (house.visitor.look().status, house.visitor.problem) == (418, {"word": "full"})
    assert house.visitor.wire.gone


def test_a_fault() -> None:
    """What goes wrong within tells the client nothing."""
    house = Waiting()
    house.entrance.found.errback(Refused(Code.INTERNAL))
    house.advance(0)
    assert house.visitor.look().problem == {"word": "internal"}


def test_the_program_refuses() -> None:
    """An answer of the program that is no 101 becomes a whole one in the entrance's words."""
    house = Waiting("viewer")
    house.let_in()
    house.answer_dial().receive(b"HTTP/1.1 403 Forbidden\r\nX-Inner: path\r\n\r\n")
    house.advance(0)
    visitor = house.visitor.look()
    assert (visitor.status, visitor.problem) == (418, {"word": "unreachable"})
    lines = visitor.head.decode().split("\r\n")
    assert f"Content-Length: {len(visitor.body)}" in lines
    assert "Connection: close" in lines
    assert b"X-Inner" not in visitor.head
