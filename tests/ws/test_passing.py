"""Requests and answers that are passed on: while they come, bounded, and with their ends."""

from __future__ import annotations

from typing import Any

import pytest

from sessiond.core.events import Release
from sessiond.core.values import State
from sessiond.web.visits import GRACE_S
from tests.ws.browsing import OK, connected, header, raw, reader, served


def test_upload() -> None:
    """A body is written while it comes, no faster than the program reads, and the answer may begin before its end."""
    house, _, browser = reader()
    visitor = browser.ask("/", "Content-Length: 200000", "Expect: 100-continue", method="PUT")
    program = house.answer_dial()
    head = program.sent()
    assert b"Content-Length: 200000\r\n" in head
    assert b"Expect" not in head
    assert visitor.look().status == 100
    visitor.head = b""
    visitor.send(b"x" * 100_000)
    assert program.sent() == b"x" * 100_000
    program.refuse()
    visitor.send(b"y" * 1000)
    assert visitor.wire.paused
    assert program.sent() == b""
    program.take()
    assert not visitor.wire.paused
    assert program.sent() == b"y" * 1000
    program.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nde")
    assert visitor.look().body == b"de"
    visitor.send(b"z" * 99_000)
    assert len(program.sent()) == 99_000
    program.receive(b"al")
    assert visitor.look().body == b"deal"
    house.advance(0)
    assert program.gone
    assert visitor.wire.gone


def test_another_upgrade() -> None:
    """A client that would rather speak something else is served as it asks now."""
    house, _, browser = reader()
    visitor = browser.ask("/", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: x")
    program = served(house, visitor)
    assert visitor.status == 200
    assert b"pgrade" not in program.sent()


def test_chunked_upload() -> None:
    """A body without a length goes on without one."""
    house, _, browser = reader()
    visitor = browser.ask("/", "Transfer-Encoding: chunked", method="POST")
    program = house.answer_dial()
    visitor.send(b"5\r\nhello\r\n")
    visitor.send(b"0\r\n\r\n")
    head, _, body = program.sent().partition(b"\r\n\r\n")
    assert head.count(b"Transfer-Encoding: chunked") == 1
    assert body == b"5\r\nhello\r\n0\r\n\r\n"
    program.receive(OK)
    assert visitor.look().body == b"hello"
    assert not visitor.wire.gone


def test_answered_early() -> None:
    """A program that wants no more of a body is answered for; the rest is thrown away."""
    house, _, browser = reader()
    visitor = browser.ask("/", "Content-Length: 200000", method="POST")
    program = house.answer_dial()
    visitor.send(b"x" * 1000)
    program.receive(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")
    house.advance(0)
    assert program.aborted
    assert visitor.look().status == 413
    assert header(visitor, "Connection") == "close"
    visitor.send(b"x" * 199_000)
    house.advance(0)
    assert visitor.wire.gone


def test_takes_no_more() -> None:
    """A program that does not read for too long is given up."""
    house, _, browser = reader()
    visitor = browser.ask("/", "Content-Length: 200000", method="POST")
    program = house.answer_dial()
    program.refuse()
    house.advance(60)
    assert program.gone
    assert (visitor.look().status, visitor.problem["code"]) == (502, "unreachable")


def test_download() -> None:
    """An answer is sent while it comes, no faster than the browser reads."""
    house, _, browser = reader()
    visitor = browser.ask()
    program = house.answer_dial()
    program.receive(b"HTTP/1.1 200 OK\r\n\r\n")
    assert visitor.look().status == 200
    assert header(visitor, "Transfer-Encoding") == "chunked"
    program.receive(b"one")
    assert visitor.look().body == b"3\r\none\r\n"
    visitor.wire.refuse()
    assert program.paused
    visitor.wire.take()
    assert not program.paused
    program.receive(b"two")
    program.end()
    house.advance(0)
    assert program.aborted  # so that its port is free at once
    assert visitor.look().body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    assert not visitor.wire.gone


def test_chunked_download() -> None:
    """Chunks of the program's become ours."""
    house, _, browser = reader()
    visitor = browser.ask()
    program = served(house, visitor, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    program.receive(b"0\r\n\r\n")
    assert visitor.look().body == b"3\r\none\r\n0\r\n\r\n"


BODILESS = {
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "500"),
    "HEAD without a length": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: x\r\n\r\n", None),
    "nothing": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "0"),
    "behind 1xx": ("GET", b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", None),
}


@pytest.mark.parametrize("name", BODILESS)
def test_without_a_body(name: str) -> None:
    """What has no body has none, and the connection is good for the next request."""
    method, answer, length = BODILESS[name]
    house, _, browser = reader()
    visitor = browser.ask(method=method)
    served(house, visitor, answer)
    assert visitor.body == b""
    assert header(visitor, "Content-Length") == length
    assert header(visitor, "Transfer-Encoding") is None
    assert not visitor.wire.gone
    visitor.head = b""
    visitor.send(raw("GET", f"{browser.path}/", f"Cookie: {browser.cookie}"))
    served(house, visitor)
    assert visitor.body == b"hello"


BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nX: ",
    "no http": b"SSH-2.0-x\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "no number": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "no status": b"HTTP/1.1 999 What\r\n\r\n",
    "a switch": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    "a folded beginning": b"HTTP/1.1 200 OK\r\n x\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_no_answer(name: str) -> None:
    """What is no answer is a 502, with nothing of it told."""
    house, made, browser = reader()
    visitor = browser.ask()
    program = house.answer_dial()
    program.receive(BROKEN[name])
    house.advance(0)
    if not program.gone:
        program.end()
        house.advance(0)
    assert (visitor.look().status, visitor.problem["code"]) == (502, "unreachable")
    assert program.gone
    assert connected(house, made)


@pytest.mark.parametrize(
    "answer", [b"Content-Length: 9\r\n\r\nhel", b"Transfer-Encoding: chunked\r\n\r\n9\r\nhel", b"\r\nhel"]
)
def test_dies_in_its_answer(answer: bytes) -> None:
    """A program that dies in the midst of an answer breaks the browser's connection too, which sees that."""
    house, _, browser = reader()
    visitor = browser.ask()
    program = served(house, visitor, b"HTTP/1.1 200 OK\r\n" + answer)
    assert visitor.status == 200
    program.vanish()
    house.advance(0)
    assert visitor.wire.aborted
    assert not visitor.look().body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"])
def test_hangs_up(answer: bytes) -> None:
    """A browser that goes takes its request from the program, wherever that is."""
    house, made, browser = reader()
    visitor = browser.ask("/", "Content-Length: 10", method="POST")
    program = house.answer_dial()
    if answer:
        program.receive(answer)
    visitor.wire.vanish()
    house.advance(0)
    assert program.aborted
    house.advance(GRACE_S)
    assert house.state(made) is State.READY


def test_hangs_up_while_dialled() -> None:
    """So it is before the program was reached."""
    house, made, browser = reader()
    visitor = browser.ask()
    visitor.wire.vanish()
    house.advance(0)
    assert house.reactor.connectors[-1].stoppedConnecting
    house.advance(GRACE_S)
    assert house.state(made) is State.READY


def test_cut() -> None:
    """When its session is ended, requests without an answer are told so, and others have a while to come to an end."""
    house, made, browser = reader()
    waiting, begun, done = browser.ask("/1"), browser.ask("/2"), browser.ask("/3")
    programs = []
    for at, visitor in ((-3, waiting), (-2, begun), (-1, done)):
        factory = house.reactor.tcpClients[at][2]
        wire: Any = type(visitor.wire)(house.reactor)
        wire.protocol = factory.buildProtocol(None)
        wire.protocol.makeConnection(wire)
        programs.append(wire)
    house.advance(0)
    for program in programs[1:]:
        program.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
    house.broker.dispatch(made.session.id, Release())
    house.advance(1)
    assert waiting.look().problem["code"] == "unreachable"
    programs[2].receive(b"lo")
    assert done.look().body == b"hello"
    assert not begun.wire.gone
    house.advance(5)
    assert begun.look().wire.aborted
    assert all(program.gone for program in programs)


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_told_of_the_host() -> None:
    """What a program says of addresses is put below its own, and nothing binds the whole host."""
    house, made, browser = reader()
    visitor = browser.ask()
    answer = (
        b"HTTP/1.1 302 Elsewhere\r\nLocation: /login?next=/\r\nSet-Cookie: a=1; Path=/; Domain=localhost\r\n"
        b"Set-Cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nStrict-Transport-Security: max-age=1\r\n"
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    )
    served(house, visitor, answer)
    lines = visitor.head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 302 Elsewhere"
    assert sorted(lines[1:]) == [
        "Content-Length: 0",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT",
        f"Location: /session/{made.session.id}/login?next=/",
        f"Set-Cookie: a=1; Path=/session/{made.session.id}/",
        "Set-Cookie: b=2",
    ]


def test_headers_of_the_operator() -> None:
    """What the listener adds to every answer, no program takes away."""
    house, _, browser = reader()
    house.site.headers = (("X-Frame-Options", "DENY"),)
    visitor = browser.ask()
    served(house, visitor, b"HTTP/1.1 200 OK\r\nx-frame-options: ALLOWALL\r\nContent-Length: 0\r\n\r\n")
    assert header(visitor, "X-Frame-Options") == "DENY"
    assert visitor.head.lower().count(b"x-frame-options") == 1


def test_split_answers() -> None:
    """A program can't write a second answer into the head of its own."""
    house, _, browser = reader()
    visitor = browser.ask()
    served(house, visitor, b"HTTP/1.1 200 O\rK\r\nX: a\rSet-Cookie: b=1\r\nContent-Length: 0\r\n\r\n")
    assert b"\r\nSet-Cookie" not in visitor.head
    assert b"\r" not in visitor.head.replace(b"\r\n", b"")
