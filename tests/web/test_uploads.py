"""Bodies that are passed on while they come: in order, no faster than they are taken, and for as long as they come."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.config import Patience
from sessiond.web.uploads import HELD_BYTES
from sessiond.web.wire import CLOSE_S, DROP_BYTES, WebRequest, WebSite
from tests.web.http import Connection

HEAD = "POST /up HTTP/1.1\r\nHost: h\r\n"
PATIENCE = Patience(headers_s=5.0, body_s=10.0, idle_s=20.0, stall_s=30.0)


class Taking(Resource):
    """Takes bodies by hand.

    :ivar request: the newest.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.got, self.ended, self.gone = bytearray(), False, False
        self.request: Any = None

    def render(self, request: Request) -> int:
        """Take the request; its body comes later."""
        self.request = request
        self.got, self.ended, self.gone = bytearray(), False, False
        request.notifyFinish().addErrback(self._lost)
        return NOT_DONE_YET

    def _lost(self, reason: object) -> None:
        self.gone = True

    def deliver(self) -> None:
        """Have the body delivered."""
        self.request.upload.deliver(self)

    def body_came(self, data: bytes) -> None:
        """Keep it."""
        assert not self.ended
        self.got += data

    def body_ended(self) -> None:
        """Note it."""
        assert not self.ended
        self.ended = True

    def answer(self, text: bytes = b"thanks") -> None:
        """Answer."""
        self.request.setHeader("Content-Length", str(len(text)))
        self.request.write(text)
        self.request.finish()


class Line:
    """One connection to a site that passes bodies on."""

    def __init__(self) -> None:
        self.clock, self.leaf = Clock(), Taking()
        self.site = WebSite(self.leaf, self.clock, patience=PATIENCE)
        self.site.streams = lambda target: target.startswith(b"/up")
        self.connection = Connection(self.site)
        self.transport = self.connection.transport

    def send(self, text: str | bytes) -> None:
        """Send bytes as they are."""
        self.connection.raw(text.encode() if isinstance(text, str) else text)

    @property
    def sent(self) -> bytes:
        """What came back."""
        return bytes(self.transport.value())

    @property
    def reads(self) -> bool:
        """Whether more is read."""
        return bool(self.transport.producerState == "producing")


def begun(more: str = "Content-Length: 10\r\n") -> Line:
    """Give a connection whose request's head was sent."""
    line = Line()
    line.send(f"{HEAD}{more}\r\n")
    assert line.leaf.request is not None
    return line


def test_while_it_comes() -> None:
    """The request is served at its head, and each part is passed on as it comes."""
    line = begun()
    line.leaf.deliver()
    line.send("01234")
    assert (bytes(line.leaf.got), line.leaf.ended) == (b"01234", False)
    line.send("56789")
    assert (bytes(line.leaf.got), line.leaf.ended) == (b"0123456789", True)
    line.leaf.answer()
    assert b"200 OK" in line.sent
    assert b"Connection: close" not in line.sent
    line.send("GET /up HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (line.leaf.request.method, line.leaf.request.upload) == (b"GET", None)


def test_chunks() -> None:
    """A chunked body is passed on without its framing, and what comes behind it waits its turn."""
    line = begun("Transfer-Encoding: chunked\r\n")
    assert line.leaf.request.upload.length is None
    line.leaf.deliver()
    line.send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" + "GET /up/2 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (bytes(line.leaf.got), line.leaf.ended) == (b"abcde", True)
    assert line.leaf.request.uri == b"/up"
    line.leaf.answer()
    assert line.leaf.request.uri == b"/up/2"


def test_in_one_segment() -> None:
    """Head, body and the next request may come at once."""
    line = Line()
    line.send(f"{HEAD}Content-Length: 2\r\n\r\nokGET /up/2 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert not line.leaf.got
    line.leaf.deliver()
    assert (bytes(line.leaf.got), line.leaf.ended) == (b"ok", True)
    line.leaf.answer()
    assert line.leaf.request.uri == b"/up/2"


def test_larger_than_others() -> None:
    """It may be of any length, where another address takes no more than usual."""
    line = begun(f"Content-Length: {3 * DROP_BYTES}\r\n")
    line.leaf.deliver()
    for _ in range(3 * DROP_BYTES // 65536):
        line.send(b"x" * 65536)
    assert (len(line.leaf.got), line.leaf.ended) == (3 * DROP_BYTES, True)
    other = Line()
    other.send(f"{HEAD.replace('/up', '/other')}Content-Length: {3 * DROP_BYTES}\r\n\r\n")
    assert b"413" in other.sent


def test_no_faster_than_taken() -> None:
    """While its taker waits, one segment is held and no more is read; while nobody takes it, 64 KiB."""
    line = begun("Content-Length: 1000000\r\n")
    line.send(b"x" * (HELD_BYTES - 1))
    assert line.reads
    line.send(b"x")
    assert not line.reads
    line.leaf.deliver()
    assert (len(line.leaf.got), line.reads) == (HELD_BYTES, True)
    upload = line.leaf.request.upload
    upload.pause()
    assert line.reads  # so that the end of a client is noticed
    line.send(b"y" * 1000)
    assert (len(line.leaf.got), line.reads) == (HELD_BYTES, False)
    upload.resume()
    assert (len(line.leaf.got), line.reads) == (HELD_BYTES + 1000, True)


def test_ends_while_its_taker_waits() -> None:
    """The end waits behind what is held, and the connection is read on meanwhile."""
    line = begun()
    line.leaf.deliver()
    line.leaf.request.upload.pause()
    line.send("01234")
    assert not line.reads
    line.send("56789")
    assert line.reads
    assert not line.leaf.ended
    line.leaf.request.upload.resume()
    assert (bytes(line.leaf.got), line.leaf.ended) == (b"0123456789", True)


def test_slow_and_steady() -> None:
    """Each part begins the time anew; only who sends nothing for that long is too slow."""
    line = begun("Content-Length: 100\r\n")
    line.leaf.deliver()
    for _ in range(20):
        line.clock.advance(9.0)
        line.send("x")
    assert not line.sent
    line.clock.advance(10.0)
    assert b"408" in line.sent
    assert line.leaf.gone
    assert line.transport.disconnecting


def test_stalls_in_an_answer() -> None:
    """Whose answer has begun gets no word in its midst: the connection is dropped."""
    line = begun()
    line.leaf.deliver()
    line.leaf.request.write(b"begun")
    line.clock.advance(10.0)
    assert b"408" not in line.sent
    assert line.transport.disconnected


def test_no_time_runs_while_the_taker_waits() -> None:
    """What its taker does not take is not its client's fault."""
    line = begun()
    line.leaf.deliver()
    line.leaf.request.upload.pause()
    line.clock.advance(1000.0)
    assert not line.sent
    line.leaf.request.upload.resume()
    line.clock.advance(10.0)
    assert b"408" in line.sent


@pytest.mark.parametrize("word", ["100-continue", "100-Continue"])
def test_expects_a_word(word: str) -> None:
    """A client that waits for a word gets it once its body is wanted, and no time runs before that."""
    line = begun(f"Expect: {word}\r\nContent-Length: 2\r\n")
    line.clock.advance(100.0)
    assert line.sent == b""
    line.leaf.deliver()
    assert line.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.send("ok")
    assert (bytes(line.leaf.got), line.leaf.ended) == (b"ok", True)


def test_an_old_client_expects_nothing() -> None:
    """HTTP/1.0 has no such word."""
    line = Line()
    line.send("POST /up HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    line.leaf.deliver()
    assert line.sent == b""
    line.clock.advance(10.0)
    assert b"408" in line.sent


def test_refused_before_it_came() -> None:
    """An answer that does not wait for the body closes the connection, once its client can have heard it."""
    line = begun("Expect: 100-continue\r\nContent-Length: 2\r\n")
    line.leaf.answer(b"no")
    assert b"100 Continue" not in line.sent
    assert b"Connection: close\r\n" in line.sent
    assert not line.transport.disconnecting
    line.clock.advance(CLOSE_S)
    assert line.transport.disconnecting


def test_refused_at_once() -> None:
    """So it is where the resource answers at once; the rest of the body is thrown away, to a limit."""

    class Refusing(Taking):
        def render(self, request: Request) -> int:
            super().render(request)
            self.answer(b"no")
            return NOT_DONE_YET

    for length, gone in ((100_000, False), (2 * DROP_BYTES, True)):
        line = Line()
        line.site.resource = Refusing()
        line.send(f"{HEAD}Content-Length: {length}\r\n\r\n" + "x" * (length - 1))
        assert b"no" in line.sent
        assert line.transport.disconnected is line.transport.disconnecting is gone
        if not gone:
            line.send("x")
            assert line.transport.disconnecting
        line.connection.hang_up()
        assert line.clock.getDelayedCalls() == []


def test_answer_first() -> None:
    """An answer may begin before the body is there, and end after it."""
    line = begun()
    line.leaf.deliver()
    line.leaf.request.write(b"a")
    line.send("0123456789")
    assert line.leaf.ended
    line.leaf.request.finish()
    assert line.transport.disconnecting


def test_unread_answer_does_not_stop_the_body() -> None:
    """Body and answer have a pace of their own each."""
    line = begun("Content-Length: 100\r\n")
    line.leaf.deliver()
    line.leaf.request.write(b"a")
    line.connection.channel.pauseProducing()
    assert line.reads
    line.send("x")
    assert bytes(line.leaf.got) == b"x"
    line.connection.channel.resumeProducing()
    assert line.reads


def test_hangs_up() -> None:
    """Who hangs up in the midst leaves nothing behind."""
    line = begun()
    line.leaf.deliver()
    line.send("01")
    line.connection.hang_up()
    assert line.leaf.gone
    assert not line.leaf.ended
    assert line.clock.getDelayedCalls() == []


def test_broken_chunks() -> None:
    """A body that is no chunked one is refused, and its resource hears that it is over."""
    line = begun("Transfer-Encoding: chunked\r\n")
    line.leaf.deliver()
    line.send("3\r\nabc\r\nzz\r\n")
    assert bytes(line.leaf.got) == b"abc"
    assert b"400 Bad Request" in line.sent
    assert line.leaf.gone
    line = begun("Transfer-Encoding: chunked\r\n")
    line.leaf.deliver()
    line.leaf.request.write(b"begun")
    line.send("zz\r\n")
    assert b"400" not in line.sent
    assert line.transport.disconnected


def test_no_body() -> None:
    """A request without a body has none that is passed on."""
    for more in ("", "Content-Length: 0\r\n"):
        line = begun(more)
        assert isinstance(line.leaf.request, WebRequest)
        assert line.leaf.request.upload is None
