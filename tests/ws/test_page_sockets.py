"""WebSockets of a session's pages: they belong to the browser's one client."""

from __future__ import annotations

from sessiond.core.events import Release
from sessiond.core.values import State
from sessiond.web.visits import GRACE_S, READY_S
from tests.fakes.frames import BINARY, frame, payload_of
from tests.fakes.launchers import NeverReady
from tests.ws.browsing import Browser, connected, header, reader, served
from tests.ws.indoors import Indoors

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


def test_upgrade() -> None:
    """A WebSocket of a page goes to the program as it was asked for, and is no client of its own."""
    house, made, browser = reader()
    browser.cookie += "; own=1"
    visitor = browser.upgrade("/kernels/1?x=1&token=t", "Origin: http://localhost", "Sec-WebSocket-Protocol: v1")
    program = house.answer_dial()
    lines = program.sent().decode().split("\r\n")
    assert lines[0] == "GET /kernels/1?x=1 HTTP/1.1"
    assert {"Cookie: own=1", "Sec-Websocket-Protocol: v1", "Upgrade: websocket", "Connection: Upgrade"} <= set(lines)
    assert f"X-Forwarded-Prefix: /session/{made.session.id}" in lines
    program.receive(SWITCHING + b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: sessiond-x=1\r\n\r\n\x82\x05first")
    assert visitor.look().status == 101
    assert header(visitor, "Set-Cookie") == f"a=1; Path=/session/{made.session.id}/"
    assert visitor.head.count(b"Set-Cookie") == 1
    assert payload_of(visitor.read) == b"first"
    visitor.send(frame(BINARY, b"up"))
    assert program.sent() == frame(BINARY, b"up")
    assert house.tunnels_of(made) == 1
    assert Browser(house, made).come().status == 409


def test_upgrade_keeps_the_place() -> None:
    """A browser whose only connection is a WebSocket is connected; once that has ended, it is for a while."""
    house, made, browser = reader()
    visitor = browser.upgrade()
    program = house.answer_dial()
    program.receive(SWITCHING + b"\r\n")
    house.advance(10 * GRACE_S)
    assert connected(house, made)
    assert house.broker.session(made.session.id).served
    visitor.look().wire.vanish()
    house.advance(GRACE_S - 1)
    assert connected(house, made)
    house.advance(1)
    assert house.state(made) is State.READY


def test_upgrade_ended_by_the_program() -> None:
    """A WebSocket that the program closes ends alone."""
    house, made, browser = reader()
    visitor = browser.upgrade()
    program = house.answer_dial()
    program.receive(SWITCHING + b"\r\n")
    program.end()
    house.advance(6)
    assert visitor.look().wire.gone
    assert connected(house, made)
    house.advance(GRACE_S)
    assert house.state(made) is State.READY


def test_upgrade_not_taken() -> None:
    """A program that takes no WebSocket there is a 502, and the browser goes on with its pages."""
    house, made, browser = reader()
    visitor = browser.upgrade()
    house.answer_dial().receive(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    house.advance(0)
    assert (visitor.look().status, visitor.problem["code"]) == (502, "unreachable")
    served(house, browser.ask())
    assert connected(house, made)


def test_upgrade_not_reached() -> None:
    """So is one that nobody can reach, before anything reached it and after."""
    house, made, browser = reader()
    visitor = browser.upgrade()
    house.refuse_dial()
    house.advance(2)
    assert visitor.look().problem["code"] == "unreachable"
    assert house.state(made) is State.READY
    served(house, browser.ask())
    visitor = browser.upgrade()
    house.refuse_dial()
    house.advance(0)
    assert visitor.look().problem["code"] == "unreachable"
    assert connected(house, made)


def test_upgrade_refused() -> None:
    """Other sites' pages, and who shows no cookie, get no WebSocket."""
    house, made, browser = reader()
    assert browser.upgrade("/", "Origin: https://evil.example").status == 403
    browser.cookie = "x=1"
    assert browser.upgrade().status == 403
    assert browser.upgrade(f"/?token={made.token}").status == 404
    assert house.dials == 0


def test_upgrade_by_bearer() -> None:
    """A program opens one with the token."""
    house = Indoors()
    made = house.reserve("book")
    visitor = Browser(house, made).upgrade("/", f"Authorization: Bearer {made.token}")
    program = house.answer_dial()
    assert b"Authorization" not in program.sent()
    program.receive(SWITCHING + b"\r\n")
    assert visitor.look().status == 101


def test_upgrade_cut() -> None:
    """It is cut with its session."""
    house, made, browser = reader()
    visitor = browser.upgrade()
    program = house.answer_dial()
    program.receive(SWITCHING + b"\r\n")
    house.broker.dispatch(made.session.id, Release())
    house.advance(30)
    assert visitor.look().wire.gone
    assert program.gone
    assert house.tunnels.meters().open == 0


def test_upgrade_waits() -> None:
    """It waits for a program that is being started, as long as a request does."""
    house, made, browser = reader("lazybook", script=NeverReady())
    visitor = browser.upgrade()
    house.advance(1)
    house.child(made).become_ready()
    house.advance(0)
    house.answer_dial().receive(SWITCHING + b"\r\n")
    assert visitor.look().status == 101
    house, made, browser = reader("lazybook", script=NeverReady())
    visitor = browser.upgrade()
    house.advance(READY_S)
    assert visitor.look().status == 504
