"""Browsers at the pages of sessions, indoors: they keep their cookie, and programs answer by hand."""

from __future__ import annotations

from typing import Any

from sessiond.broker import Reservation
from sessiond.core.values import State
from tests.fakes.frames import request as upgrade
from tests.fakes.wires import Wire
from tests.ws.indoors import Indoors, Visitor

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"


def raw(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    """Write a request."""
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*head, "", "")).encode() + body


def header(visitor: Visitor, name: str) -> str | None:
    """Give a header of an answer; ``None`` where it is not there."""
    for line in visitor.head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(": ")
        if key.lower() == name.lower():
            return value
    return None


class Browser:
    """One browser at one session.

    :ivar cookie: what it was given, as it sends it.
    """

    def __init__(self, house: Indoors, made: Reservation) -> None:
        self.house, self.made = house, made
        self.cookie = ""

    @property
    def path(self) -> str:
        """The address of the session."""
        return f"/session/{self.made.session.id}"

    def come(self, *lines: str, token: str | None = None, more: str = "", below: str = "/") -> Visitor:
        """Come with the token."""
        secret = self.made.token if token is None else token
        visitor = self.house.visit(raw("GET", f"{self.path}{below}?token={secret}{more}", *lines))
        given = header(visitor, "Set-Cookie")
        if given is not None:
            self.cookie = given.partition(";")[0]
        return visitor

    def ask(self, below: str = "/", *lines: str, method: str = "GET", body: bytes = b"") -> Visitor:
        """Ask for something below the address."""
        own = [f"Cookie: {self.cookie}"] if self.cookie else []
        return self.house.visit(raw(method, self.path + below, *own, *lines, body=body))

    def upgrade(self, below: str = "/", *lines: str) -> Visitor:
        """Ask for a WebSocket."""
        return self.house.visit(upgrade(self.path + below, f"Cookie: {self.cookie}", *lines))


def reader(service: str = "book", **more: Any) -> tuple[Indoors, Reservation, Browser]:
    """Give a house with a session of a service that has pages, and a browser that has come."""
    house = Indoors()
    made = house.reserve(service, **more)
    browser = Browser(house, made)
    assert browser.come().status == 303
    return house, made, browser


def served(house: Indoors, visitor: Visitor, answer: bytes = OK) -> Wire:
    """Have the program answer the newest request, and give its end of the connection."""
    program = house.answer_dial()
    program.receive(answer)
    house.advance(0)
    visitor.look()
    return program


def connected(house: Indoors, made: Reservation) -> bool:
    """Say whether the session counts as connected."""
    return house.state(made) is State.CONNECTED


def why(house: Indoors, made: Reservation) -> str:
    """Say why the session ended."""
    reason = house.broker.session(made.session.id).reason
    return "" if reason is None else reason.value
