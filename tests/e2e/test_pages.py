"""A program's pages through a real daemon: cookies, bodies of any length both ways, and their ends."""

import hashlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from attrs import define, field

from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, running, until
from tests.e2e.services import OWN, service

MIB = 1 << 20
UPLOAD_BYTES = 50 * MIB
GROWTH_BYTES = 16 * MIB
"""How much larger the daemon may become meanwhile."""


@define
class Shown:
    """A session with pages, and a browser that has its cookie.

    :ivar path: the address of the session.
    """

    daemon: Running
    made: dict[str, Any]
    path: str
    cookie: str
    _open: list[Any] = field(factory=list)

    def ask(self, below: str = "/", method: str = "GET", body: Any = None, **headers: str) -> http.client.HTTPResponse:
        """Ask for something; the answer is still to be read."""
        connection = http.client.HTTPConnection(self.daemon.netloc, timeout=LIMIT_S)
        self._open.append(connection)
        sent = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, self.path + below, body, sent)
        answer = connection.getresponse()
        self._open.append(answer)
        return answer

    def open(self, below: str, *lines: str, method: str = "GET") -> socket.socket:
        """Send a request's head by hand, and give the connection."""
        host, _, port = self.daemon.netloc.partition(":")
        client = socket.create_connection((host, int(port)), LIMIT_S)
        self._open.append(client)
        head = [
            f"{method} {self.path}{below} HTTP/1.1",
            f"Host: {self.daemon.netloc}",
            f"Cookie: {self.cookie}",
            *lines,
        ]
        client.sendall("\r\n".join([*head, "", ""]).encode())
        return client

    def close(self) -> None:
        """Close all connections."""
        for one in self._open:
            one.close()


@contextmanager
def shown(place: Place, where: str = "port", **keys: Any) -> Iterator[Shown]:
    """Start a daemon with a session that has pages, and come to it."""
    first, last = place.ports
    more = {"ports": f"{first}-{last}"} if where == "port" else {"endpoint": "socket"}
    table = {"kind": "http", "limits": 'linger = "1s"', **more, **keys}
    place.configure(service("book", OWN / "pages.py", f"${{{where}}}", **table))
    with running(place.config) as daemon:
        made = daemon.ready().order("book")
        assert made.status == 201, made
        with closing(come(daemon, made.json)) as at:
            yield at
        assert "Traceback" not in daemon.text
        assert made.json["token"] not in daemon.text


def come(daemon: Running, made: dict[str, Any]) -> Shown:
    """Come to a session as a browser does."""
    assert made["url"].startswith(daemon.url.rstrip("/"))
    where = made["url"].removeprefix(f"http://{daemon.netloc}")
    answer = daemon.call("GET", where)
    assert (answer.status, answer.headers["location"]) == (303, where.partition("?")[0])
    return Shown(daemon, made, f"/session/{made['id']}", answer.headers["set-cookie"].partition(";")[0])


def memory_of(pid: int) -> int:
    """Say how much memory a process has had at most."""
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def drain(client: socket.socket) -> None:
    """Read to the end."""
    while client.recv(MIB):
        pass


@pytest.mark.parametrize("where", ["port", "socket"])
def test_pages(place: Place, where: str) -> None:
    """A page is shown for the cookie, and for it alone; the program knows where it is and sees no secret."""
    with shown(place, where) as at:
        answer = at.ask("/a%2Fb/c?x=%26&token=t", X_Forwarded_For="evil", Connection="keep-alive, X-Hop", X_Hop="1")
        told = json.load(answer)
        lines = dict(told["lines"])
        assert told["path"] == "/a%2Fb/c?x=%26"
        assert (lines["Host"], lines["X-Forwarded-Host"]) == (at.daemon.netloc, at.daemon.netloc)
        assert (lines["X-Forwarded-Prefix"], lines["X-Forwarded-Proto"]) == (at.path, "http")
        assert lines["X-Forwarded-For"] == "127.0.0.1"
        assert not {"Cookie", "X-Hop"} & lines.keys()
        for cookie in ("", at.cookie[:-1], at.cookie + "x"):
            refused = at.daemon.call("GET", f"{at.path}/", Cookie=cookie)
            assert (refused.status, refused.json["code"]) == (403, "forbidden")
            assert at.daemon.call("GET", "/session/book-zzzzzz/", Cookie=cookie).json == refused.json
        proven = at.daemon.call("GET", "/session/book-zzzzzz/", Authorization=f"Bearer {at.made['token']}")
        assert proven.status == 403
        assert at.daemon.call("GET", at.path).status == 308


def test_hop_by_hop(place: Place) -> None:
    """What a program says to its neighbour, or of the whole host, does not reach the browser; places are put right."""
    with shown(place) as at:
        answer = at.ask("/elsewhere")
        assert answer.status == 302
        assert answer.headers["Location"] == f"{at.path}/there"
        assert answer.headers["Set-Cookie"] == f"own=1; Path={at.path}/"
        for name in ("Connection", "X-Hop", "Keep-Alive", "Strict-Transport-Security", "Transfer-Encoding"):
            assert answer.headers[name] is None
        assert at.ask("/", "HEAD").headers["Content-Length"] == "2"
        assert at.ask("/plain").read() == b"plain and old"


@pytest.mark.parametrize("coding", ["length", "chunks"])
def test_upload(place: Place, coding: str) -> None:
    """Fifty megabytes reach the program whole, and the daemon does not grow by them."""
    part = hashlib.sha256(b"x").digest() * 2048
    digest = hashlib.sha256()
    for _ in range(UPLOAD_BYTES // len(part)):
        digest.update(part)
    with shown(place) as at:
        before = memory_of(at.daemon.pid)
        more = {"Content_Length": str(UPLOAD_BYTES)} if coding == "length" else {}
        answer = at.ask("/", "PUT", iter([part] * (UPLOAD_BYTES // len(part))), **more)
        told = json.load(answer)
        assert (told["size"], told["sha256"]) == (UPLOAD_BYTES, digest.hexdigest())
        assert told["coding"] == (None if coding == "length" else "chunked")
        assert memory_of(at.daemon.pid) - before < GROWTH_BYTES


def test_expects_a_word(place: Place) -> None:
    """A client that waits for 100 before it sends gets that, and the program is not asked to wait too."""
    with shown(place) as at:
        client = at.open("/", "Content-Length: 4", "Expect: 100-continue", method="PUT")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        with client.makefile("rb") as file:
            assert file.readline().startswith(b"HTTP/1.1 200")


def test_refused_upload(place: Place) -> None:
    """What the program refuses without reading it is refused to the browser, which hears it."""
    with shown(place) as at:
        answer = at.ask("/", "POST", bytes(100_000))
        assert (answer.status, json.load(answer)) == (413, {"refused": True})


def test_events_one_by_one(place: Place) -> None:
    """Each event is there as soon as the program has told it."""
    with shown(place) as at:
        answer = at.ask("/events")
        for number in range(3):
            assert at.ask("/next", "POST").status == 200
            assert answer.readline() == b"data: %d\n" % number
            assert answer.readline() == b"\n"
        assert answer.read() == b""


def test_slow_reader(place: Place) -> None:
    """A browser that does not read makes the program wait, and the daemon does not grow."""
    with shown(place) as at:
        client = at.open("/flood")
        client.recv(1000)
        time.sleep(1)
        before = memory_of(at.daemon.pid)
        time.sleep(1)
        assert memory_of(at.daemon.pid) - before < MIB


def test_breaks_off(place: Place) -> None:
    """An answer of which the rest never comes is not taken for whole."""
    with shown(place) as at:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            at.ask("/half").read()
        assert at.ask().status == 200


def test_upgrade(place: Place) -> None:
    """A WebSocket of a page goes through, byte for byte, and is no client beside the browser."""
    with shown(place) as at:
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        client = at.open("/echo", *upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
        with client.makefile("rb") as file:
            assert file.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            while file.readline() != b"\r\n":
                pass
            client.sendall(bytes(range(256)) * 1000)
            assert file.read(256_000) == bytes(range(256)) * 1000
            assert at.ask().status == 200
            assert at.daemon.call("GET", at.made["url"].removeprefix(at.daemon.url.rstrip("/"))).status == 409


def test_cut_on_release(place: Place) -> None:
    """When a session ends, what runs ends with it, and its cookie opens nothing any more."""
    with shown(place) as at:
        never, flood = at.open("/never"), at.open("/flood")
        flood.recv(100)
        assert at.daemon.release(at.made["id"]).status == 200
        with never.makefile("rb") as file:
            assert file.readline().startswith(b"HTTP/1.1 502")
        with pytest.raises(ConnectionError):
            drain(flood)
        at.daemon.ended(at.made["id"])
        assert at.ask().status == 403


def test_on_connect(place: Place) -> None:
    """Coming starts the program, and the request that follows waits for it."""
    with shown(place) as ready:
        assert ready.daemon.session(ready.made["id"])["state"] == "connected"
    first, last = place.ports
    lazy = service("book", OWN / "pages.py", "${port}", kind="http", launch="on-connect", ports=f"{first}-{last}")
    place.configure(lazy)
    with running(place.config) as daemon:
        made = daemon.ready().order("book", wait="none").json
        assert made["state"] == "reserved"
        with closing(come(daemon, made)) as at:
            assert json.load(at.ask("/x"))["path"] == "/x"
        until(lambda: daemon.session(made["id"])["state"] == "connected", "it is connected")
