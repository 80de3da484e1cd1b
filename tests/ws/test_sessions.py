"""``/session/{id}/ws``: the address names the session, and only its own token or ticket opens it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from sessiond.broker import Reservation
from sessiond.core.events import Release
from sessiond.core.values import State
from tests.fakes.frames import BINARY, frame, request
from tests.ws.indoors import Indoors, Visitor

ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def path(made: Reservation, query: str = "", name: str = "ws") -> str:
    """Give an address of a session."""
    return f"/session/{made.session.id}/{name}{query}"


def come(house: Indoors, made: Reservation, *lines: str, more: str = "") -> Visitor:
    """Come with a session's token."""
    return house.visit(request(path(made, f"?token={made.token}{more}"), *lines))


def test_opened() -> None:
    """The program is asked for its own root, with the query that is meant for it, and answers the client itself."""
    house = Indoors()
    made = house.reserve("viewer")
    visitor = house.visit(request(path(made, f"?a=1&token={made.token}&b=%2F"), "Origin: http://localhost"))
    program = house.answer_dial()
    head = program.sent()
    assert head.startswith(b"GET /?a=1&b=%2F HTTP/1.1\r\n")
    assert made.token.encode() not in head
    program.receive(ANSWER)
    assert visitor.look().status == 101
    visitor.send(frame(BINARY, b"up"))
    assert program.sent() == frame(BINARY, b"up")
    assert house.state(made) is State.CONNECTED


def test_by_ticket() -> None:
    """A ticket opens it once."""
    house = Indoors()
    made = house.reserve("viewer")
    ticket = house.broker.issue_ticket(made.session, "ada").ticket
    house.visit(request(path(made, f"?ticket={ticket}")))
    assert house.answer_dial().sent().startswith(b"GET / HTTP/1.1\r\n")
    assert house.visit(request(path(made, f"?ticket={ticket}"))).status == 403


CLOSED: dict[str, Callable[[Reservation, Reservation, str], str]] = {
    "a wrong token": lambda mine, other, ticket: path(mine, "?token=wrong"),
    "another's token": lambda mine, other, ticket: path(mine, f"?token={other.token}"),
    "another's address": lambda mine, other, ticket: path(other, f"?token={mine.token}"),
    "another's ticket": lambda mine, other, ticket: path(mine, f"?ticket={ticket}"),
    "a wrong ticket": lambda mine, other, ticket: path(mine, "?ticket=wrong"),
    "a token as a ticket": lambda mine, other, ticket: path(mine, f"?ticket={mine.token}"),
    "no token": lambda mine, other, ticket: path(mine),
    "an empty token": lambda mine, other, ticket: path(mine, "?token="),
    "no such session": lambda mine, other, ticket: f"/session/viewer-zzzzzz/ws?token={mine.token}",
    "nothing at all": lambda mine, other, ticket: "/session/viewer-zzzzzz/ws",
    "no id": lambda mine, other, ticket: f"/session//ws?token={mine.token}",
    "an id that is no text": lambda mine, other, ticket: f"/session/%ff/ws?token={mine.token}",
    "the root": lambda mine, other, ticket: "/session/",
}


def test_all_the_same() -> None:
    """Whether there is such a session is told to nobody who can't open it: every answer is the same, byte for byte."""
    house = Indoors()
    mine, other = house.reserve("viewer"), house.reserve("viewer")
    ticket = house.broker.issue_ticket(other.session, "ada").ticket
    answers = {}
    for name, make in CLOSED.items():
        visitor = house.visit(request(make(mine, other, ticket)))
        assert (visitor.status, visitor.problem["code"]) == (403, "forbidden"), name
        answers[name] = visitor.head.split(b"\r\nDate")[0], visitor.body
        assert house.dials == 0
        assert visitor.wire.gone
    assert len(set(answers.values())) == 1
    assert house.state(mine) is house.state(other) is State.READY


def test_a_ticket_in_the_wrong_place() -> None:
    """A ticket that was shown at another session's address is used up."""
    house = Indoors()
    mine, other = house.reserve("viewer"), house.reserve("viewer")
    ticket = house.broker.issue_ticket(mine.session, "ada").ticket
    assert house.visit(request(path(other, f"?ticket={ticket}"))).status == 403
    assert house.visit(request(path(mine, f"?ticket={ticket}"))).status == 403


OTHERS: dict[str, tuple[tuple[str, ...], str, int, str]] = {
    "another site's page": (("Origin: https://evil.example",), "", 403, "forbidden"),
    "a page without an origin": (("Origin: null",), "", 403, "forbidden"),
    "two tokens": ((), "&token=x", 400, "bad-request"),
    "a ticket too": ((), "&ticket=x", 400, "bad-request"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others(name: str) -> None:
    """Pages of other sites are refused as at every entrance, and so is what can be read in two ways."""
    lines, more, status, code = OTHERS[name]
    house = Indoors()
    made = house.reserve("viewer")
    visitor = come(house, made, *lines, more=more)
    assert (visitor.status, visitor.problem["code"]) == (status, code)
    assert house.dials == 0
    assert house.state(made) is State.READY


def test_another_kind() -> None:
    """What is no WebSocket program's is not opened so, and what lies elsewhere below the address is not there."""
    house = Indoors()
    made = house.reserve("desk")
    assert come(house, made).problem["code"] == "not-found"
    viewer = house.reserve("viewer")
    for name in ("", "ws/", "ws/more", "other"):
        visitor = house.visit(request(path(viewer, f"?token={viewer.token}", name)))
        assert (visitor.status, visitor.problem["code"]) == (404, "not-found"), name
    assert house.dials == 0


def test_once() -> None:
    """Where one client may come, ever, the second is one too many."""
    house = Indoors()
    made = house.reserve("once")
    first = come(house, made)
    program = house.answer_dial()
    program.receive(ANSWER)
    assert first.look().status == 101
    second = come(house, made)
    assert (second.status, second.problem["code"]) == (409, "already-connected")


def test_ended() -> None:
    """The token of a session that has ended opens nothing."""
    house = Indoors()
    made = house.reserve("viewer")
    house.broker.dispatch(made.session.id, Release())
    house.advance(30)
    assert house.state(made) is State.ENDED
    assert come(house, made).status == 403


def test_the_log() -> None:
    """No token stands in the log, wherever in the address it was put."""
    house = Indoors()
    made = house.reserve("viewer")
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    try:
        come(house, made, "Origin: https://evil.example")
        house.visit(request(f"/session/{made.token}/ws"))
        house.visit(request(path(made, f"/{made.token}")))
    finally:
        globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
    texts = [formatEvent(event) for event in events]
    assert any(made.session.id in text for text in texts)
    assert not any(made.token in text for text in texts)
