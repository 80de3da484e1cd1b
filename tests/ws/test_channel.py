"""Who is let in at ``/tunnel``, how others are turned away, and what becomes of clients until they are joined."""

from __future__ import annotations

from typing import Any

import pytest
import txaio
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from sessiond.broker import Reservation
from sessiond.core.events import Release
from sessiond.core.values import State
from sessiond.tunnel.client import UNCUT_S
from sessiond.web.door import Door, TurnedAway
from tests.fakes.frames import ACCEPT, BINARY, KEY, PONG, close, frame, payload_of, request
from tests.fakes.launchers import ByHand, DiesAtOnce, NeverReady
from tests.reactor import LoggedFailures
from tests.ws.indoors import Indoors, Visitor


def ask(token: str, *lines: str, **more: Any) -> bytes:
    """Write an upgrade request with a token."""
    return request(f"/tunnel?token={token}", *lines, **more)


def without(raw: bytes, name: str) -> bytes:
    """Leave a header out."""
    return b"\r\n".join(line for line in raw.split(b"\r\n") if not line.startswith(name.encode() + b":"))


REFUSALS: dict[str, tuple[Any, int, str]] = {
    "another upgrade": (lambda t: ask(t).replace(b"Upgrade: websocket", b"Upgrade: h2c"), 400, "bad-request"),
    "no connection header": (lambda t: without(ask(t), "Connection"), 400, "bad-request"),
    "a post": (lambda t: ask(t).replace(b"GET", b"POST"), 400, "bad-request"),
    "http 1.0": (lambda t: ask(t).replace(b"HTTP/1.1", b"HTTP/1.0"), 400, "bad-request"),
    "an old version": (lambda t: ask(t).replace(b"Version: 13", b"Version: 8"), 400, "bad-request"),
    "no version": (lambda t: without(ask(t), "Sec-WebSocket-Version"), 400, "bad-request"),
    "no key": (lambda t: without(ask(t), "Sec-WebSocket-Key"), 400, "bad-request"),
    "a bad key": (lambda t: ask(t).replace(KEY.encode(), b"short"), 400, "bad-request"),
    "two keys": (lambda t: ask(t, f"Sec-WebSocket-Key: {KEY}"), 400, "bad-request"),
    "no session named": (lambda t: request("/tunnel"), 400, "no-session-named"),
    "an empty token": (lambda t: ask(""), 400, "no-session-named"),
    "two tokens": (lambda t: ask(f"{t}&token={t}"), 400, "bad-request"),
    "a token and a ticket": (lambda t: ask(f"{t}&ticket={t}"), 400, "bad-request"),
    "an empty ticket": (lambda t: request("/tunnel?ticket="), 400, "no-session-named"),
    "two tickets": (lambda t: request(f"/tunnel?ticket={t}&ticket={t}"), 400, "bad-request"),
    "a token as a ticket": (lambda t: request(f"/tunnel?ticket={t}"), 401, "unauthenticated"),
    "a wrong token": (lambda t: ask("wrong"), 401, "unauthenticated"),
    "a token with a tail": (lambda t: ask(t + "x"), 401, "unauthenticated"),
    "a token that is no text": (lambda t: ask("%ff"), 400, "bad-request"),
    "another site's page": (lambda t: ask(t, "Origin: https://evil.example"), 403, "forbidden"),
    "a page without an origin": (lambda t: ask(t, "Origin: null"), 403, "forbidden"),
    "another site's page that guesses": (lambda t: ask("x", "Origin: https://evil.example"), 403, "forbidden"),
    "two origins": (lambda t: ask(t, "Origin: http://localhost", "Origin: http://evil"), 400, "bad-request"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    """Each refusal is plain HTTP with a problem document, and takes no place.

    What comes behind it on the same connection may have been meant for a WebSocket, and is never read as a request.
    """
    house = Indoors()
    made = house.reserve()
    raw, status, code = REFUSALS[name]
    visitor = house.visit(raw(made.token) + ask(made.token))
    assert (visitor.status, visitor.problem["code"]) == (status, code)
    assert b"application/problem+json" in visitor.head
    assert made.token.encode() not in visitor.head + visitor.body
    assert house.tunnels.meters().open == 0
    assert house.state(made) is State.READY
    assert house.dials == 0
    assert visitor.wire.gone
    assert house.visit(ask(made.token)).status == 101


def test_no_upgrade() -> None:
    """A plain request is refused too, and leaves the connection in order."""
    house = Indoors()
    made = house.reserve()
    visitor = house.visit(without(ask(made.token), "Upgrade"))
    assert (visitor.status, visitor.problem["code"]) == (400, "bad-request")
    visitor.head = visitor.body = b""
    visitor.send(ask(made.token))
    house.advance(0)
    assert visitor.look().status == 101


def test_let_in() -> None:
    """A client is answered as RFC 6455 wants it, and nothing is said that need not be."""
    house = Indoors()
    made = house.reserve()
    visitor = house.visit(ask(made.token, "Origin: http://localhost", "Cookie: a=b"))
    lines = visitor.head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    assert sorted(lines[1:]) == ["Connection: Upgrade", f"Sec-WebSocket-Accept: {ACCEPT}", "Upgrade: WebSocket"]
    assert house.state(made) is State.CONNECTED


def test_a_place_that_is_taken() -> None:
    """A second client is refused before the upgrade."""
    house = Indoors()
    made = house.reserve()
    house.visit(ask(made.token))
    second = house.visit(ask(made.token))
    assert (second.status, second.problem["code"]) == (409, "already-connected")
    assert house.tunnels.meters().open == 1


def test_the_door_is_told() -> None:
    """A connection that became a tunnel counts at its listener's door until it is gone, and no longer."""
    house = Indoors(Door(connections=1))
    made = house.reserve()
    for _ in range(3):
        visitor = house.visit(ask(made.token))
        assert visitor.status == 101
        assert isinstance(house.site.buildProtocol(visitor.wire.getPeer()), TurnedAway)
        house.answer_dial().end()
        visitor.wire.vanish()
        house.advance(2)


def ticket_for(house: Indoors, made: Reservation) -> str:
    """Get a ticket for a session."""
    return house.broker.issue_ticket(house.broker.session(made.session.id), "").ticket


def test_ticket() -> None:
    """A ticket opens the tunnel as the token does, once."""
    house = Indoors()
    made = house.reserve()
    by_ticket = request(f"/tunnel?ticket={ticket_for(house, made)}")
    visitor = house.visit(by_ticket)
    assert visitor.status == 101
    program = house.answer_dial()
    program.receive(b"hello")
    assert payload_of(visitor.look().read) == b"hello"
    visitor.wire.vanish()
    house.advance(1)
    again = house.visit(by_ticket)
    assert (again.status, again.problem["code"]) == (401, "unauthenticated")
    assert house.visit(ask(made.token)).status == 101


def test_ticket_is_used_up_by_a_refusal() -> None:
    """A ticket that was good is used up, even where the session has no place; what was refused before leaves it."""
    house = Indoors()
    made = house.reserve()
    path = f"/tunnel?ticket={ticket_for(house, made)}"
    for early, status in (
        (request(path, "Origin: https://evil.example"), 403),
        (without(request(path), "Upgrade"), 400),
        (request(f"{path}&token={made.token}"), 400),
    ):
        assert house.visit(early).status == status
    holder = house.visit(ask(made.token))
    assert house.visit(request(path)).status == 409
    house.answer_dial()
    holder.wire.vanish()
    house.advance(1)
    assert house.visit(request(path)).status == 401


def test_ticket_of_a_session_that_has_ended() -> None:
    """A ticket opens nothing after its session's end, nor after a minute."""
    house = Indoors()
    made, other = house.reserve(), house.reserve()
    ended, late = ticket_for(house, made), ticket_for(house, other)
    house.broker.dispatch(made.session.id, Release())
    house.advance(1)
    assert house.visit(request(f"/tunnel?ticket={ended}")).status == 401
    house.visit(ask(other.token))
    house.advance(59)
    assert house.visit(request(f"/tunnel?ticket={late}")).status == 401


def test_a_session_that_has_ended() -> None:
    """The token of an ended session opens nothing."""
    house = Indoors()
    made = house.reserve()
    house.broker.dispatch(made.session.id, Release())
    house.advance(0)
    assert house.visit(ask(made.token)).status in (401, 409)


def test_nothing_can_be_recorded() -> None:
    """A client is dialled for only once its place is in the store."""
    house = Indoors()
    made = house.reserve()
    house.store.slow = True
    visitor = house.visit(ask(made.token) + frame(BINARY, b"early"))
    assert visitor.status == 0
    assert house.dials == 0
    house.store.flush()
    house.advance(0)
    assert visitor.look().status == 101
    program = house.answer_dial()
    assert program.sent() == b"early"


def test_gone_before_it_was_let_in() -> None:
    """A client that hangs up while its place is being recorded gives the place back."""
    house = Indoors()
    made = house.reserve()
    house.store.slow = True
    visitor = house.visit(ask(made.token))
    visitor.wire.vanish()
    house.store.slow = False
    house.store.flush()
    house.advance(0)
    assert house.tunnels.meters().open == 0
    assert house.tunnels_of(made) == 0
    assert house.state(made) is State.READY


def test_waits_for_the_program() -> None:
    """A client starts the program, and what it sends meanwhile arrives."""
    house = Indoors()
    made = house.reserve("lazy", ByHand())
    visitor = house.visit(ask(made.token))
    assert visitor.status == 101
    visitor.send(frame(BINARY, b"are you there"))
    assert house.dials == 0
    house.child(made).become_ready()
    house.advance(0)
    program = house.answer_dial()
    assert program.sent() == b"are you there"
    program.receive(b"yes")
    assert payload_of(visitor.look().read) == b"yes"
    assert house.state(made) is State.CONNECTED


def test_leaves_while_it_waits() -> None:
    """A client that goes away before the program is there is counted no more."""
    house = Indoors()
    made = house.reserve("lazy", ByHand())
    visitor = house.visit(ask(made.token))
    assert house.tunnels_of(made) == 1
    visitor.send(close(1000))
    house.advance(0)
    assert house.tunnels_of(made) == 0
    assert house.tunnels.meters().open == 0


def test_leaves_while_it_is_dialled_for() -> None:
    """The dial for a client that has gone away is given up."""
    house = Indoors()
    made = house.reserve()
    visitor = house.visit(ask(made.token))
    assert house.dials == 1
    visitor.wire.vanish()
    house.advance(0)
    assert house.reactor.connectors[0].stoppedConnecting
    assert house.tunnels_of(made) == 0


@pytest.mark.parametrize(("script", "code"), [(DiesAtOnce(), 4503), (NeverReady(), 4504)])
def test_a_program_that_does_not_come(script: Any, code: int) -> None:
    """A waiting client is told that the launch failed, or took too long."""
    house = Indoors()
    made = house.reserve("lazy", script)
    visitor = house.visit(ask(made.token))
    for _ in range(4):
        if visitor.closed is None:
            visitor.send(frame(PONG))
        house.advance(15)
    assert visitor.closed is not None
    assert visitor.closed[0] == code


def test_unreachable() -> None:
    """A program that does not take the dial: the client is told once it is sure that the program has not ended."""
    house = Indoors()
    made = house.reserve()
    visitor = house.visit(ask(made.token))
    house.refuse_dial()
    assert visitor.closed is None
    house.advance(2)
    assert visitor.closed == (4502, "unreachable")
    assert house.state(made) is State.READY


def test_dials_again_where_only_a_dial_can_tell() -> None:
    """A dial is repeated, ever less often, until it succeeds; its success makes the session connected."""
    house = Indoors()
    made = house.reserve("remote")
    visitor = house.visit(ask(made.token))
    house.refuse_dial()
    for _ in range(20):
        before = house.dials
        house.advance(1)
        assert 0 < house.dials - before <= 20
        house.refuse_dial()
    assert house.state(made) is State.LAUNCHING
    house.advance(1)
    program = house.answer_dial()
    assert house.state(made) is State.CONNECTED
    program.receive(b"hello")
    assert payload_of(visitor.look().read) == b"hello"


def test_repeated_dials_end() -> None:
    """When the time to launch is over, so are the dials."""
    house = Indoors()
    made = house.reserve("remote")
    visitor = house.visit(ask(made.token))
    for _ in range(61):
        house.refuse_dial()
        house.advance(1)
        if visitor.closed is None:
            visitor.send(frame(PONG))
    assert visitor.closed == (4504, "launch-timeout")
    before = house.dials
    house.advance(5)
    assert house.dials == before


@pytest.mark.parametrize(("exit_code", "code", "text"), [(0, 4500, "exited"), (3, 4500, "crashed")])
def test_a_program_that_ends(exit_code: int, code: int, text: str) -> None:
    """Its connection closes before its exit is known; the client is told the reason all the same."""
    house = Indoors()
    made = house.reserve()
    visitor = house.visit(ask(made.token))
    program = house.answer_dial()
    program.receive(b"last words")
    program.end()
    house.advance(0.1)
    assert visitor.closed is None
    house.child(made).exit(exit_code)
    house.advance(0)
    assert visitor.closed == (code, text)
    assert payload_of(visitor.read) == b"last words"


def test_a_program_that_only_closes() -> None:
    """A program that lives on has only closed this connection: 1000."""
    house = Indoors()
    made = house.reserve()
    visitor = house.visit(ask(made.token))
    house.answer_dial().end()
    house.advance(2)
    assert visitor.closed == (1000, "closed by the application")
    assert house.state(made) is State.READY


def test_a_client_that_nobody_cuts() -> None:
    """Should the word never come, a client whose program has ended does not stay for ever."""
    house = Indoors()
    made = house.reserve()
    visitor = house.visit(ask(made.token))
    program = house.answer_dial()
    (tunnel,) = house.tunnels._there
    tunnel._tell = lambda event: None
    program.end()
    house.advance(UNCUT_S)
    assert visitor.closed == (1000, "closed by the application")


def test_activity_is_told() -> None:
    """The broker can ask when a client was last active."""
    house = Indoors()
    made = house.reserve()
    visitor = house.visit(ask(made.token))
    house.answer_dial()
    (tunnel,) = house.tunnels._there
    assert tunnel.active_at == 0.0
    house.advance(5)
    visitor.send(frame(BINARY, b"x"))
    assert tunnel.active_at == house.clock.now()


class Lines:
    """Everything that is logged, at every level."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        """Keep it."""
        self.events.append(event)

    def texts(self, level: LogLevel | None = None) -> list[str]:
        """Give the lines."""
        return [formatEvent(event) for event in self.events if level is None or event["log_level"] is level]


def test_the_log(logged_failures: LoggedFailures) -> None:
    """A tunnel's end is one line; no token is ever logged, however much Autobahn is made to say."""
    lines = Lines()
    globalLogPublisher.addObserver(lines)  # type: ignore[arg-type]
    txaio.set_global_log_level("debug")  # type: ignore[attr-defined]
    try:
        house = Indoors()
        made = house.reserve()
        house.visit(ask(made.token[:-1] + "?"))
        visitor: Visitor = house.visit(ask(made.token, f"Cookie: token={made.token}"))
        program = house.answer_dial()
        visitor.send(frame(BINARY, b"up"))
        program.receive(b"down!")
        visitor.send(close(1000, "done"))
        program.end()
        house.advance(1)
    finally:
        txaio.set_global_log_level("info")  # type: ignore[attr-defined]
        globalLogPublisher.removeObserver(lines)  # type: ignore[arg-type]
    ends = [text for text in lines.texts() if "closed by" in text]
    assert ends == [f"{made.session.id}: tunnel 1 closed by client: 1000 -, 2 bytes up, 5 down"]
    everything = "\n".join([*lines.texts(), *(repr(event) for event in lines.events)])
    assert made.token[:-1] not in everything
    assert [text for text in lines.texts(LogLevel.warn) if "websocket" in text.lower()] == []
