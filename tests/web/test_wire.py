"""HTTP on the wire: what is too large, too slow or malformed."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.web.server import Request

from sessiond.config import Patience
from sessiond.web.access import Caller
from sessiond.web.answers import Answer
from sessiond.web.bodies import BODY_BYTES, read_object
from sessiond.web.leaf import Branch, JsonLeaf
from sessiond.web.wire import DROP_BYTES, HEAD_BYTES, HEADERS, WebSite
from tests.web.http import HOST, Connection, fetch, site_at

PATIENCE = Patience()
JSON = {"Content-Type": "application/json"}


class Sink(JsonLeaf):
    """Reads bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    async def post(self, request: Request, caller: Caller) -> Answer:
        """Read one."""
        self.seen += 1
        return Answer({"members": len(read_object(request))})


def padded(size: int) -> bytes:
    """Give a JSON object of so many bytes."""
    return b'{"a": "' + b"x" * (size - 9) + b'"}'


def chunked(content: bytes) -> bytes:
    """Write content as chunks."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)


HEAD = f"POST /x HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n".encode()


def test_largest_body() -> None:
    """A body of the limit is taken."""
    assert fetch(site_at("/x", Sink()), "POST", "/x", padded(BODY_BYTES), headers=JSON).json == {"members": 1}


@pytest.mark.parametrize("size", [BODY_BYTES + 1, DROP_BYTES])
def test_body_too_large(size: int) -> None:
    """One byte more is refused, nothing of it is parsed, and the connection goes on."""
    sink = Sink()
    connection = Connection(site_at("/x", sink))
    connection.send("POST", "/x", padded(size), headers=JSON)
    connection.received().refused("too-large", 413)
    assert sink.seen == 0
    connection.send("POST", "/x", {"a": 1})
    assert connection.received().json == {"members": 1}


def test_chunks_too_large() -> None:
    """A body that does not tell its size is counted as it comes."""
    connection = Connection(site_at("/x", Sink()))
    connection.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(padded(BODY_BYTES + 1)))
    connection.received().refused("too-large", 413)
    connection.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(padded(100)))
    assert connection.received().json == {"members": 1}


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 99999999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5f5e100\r\n"]
)
def test_huge_body(framing: bytes) -> None:
    """A body that is not worth reading to its end is answered before it is there, and its connection closed."""
    sink = Sink()
    connection = Connection(site_at("/x", sink))
    connection.raw(HEAD + framing + b"x" * (DROP_BYTES + 10))
    assert connection.received().status == 413
    assert connection.transport.disconnecting
    connection.channel.dataReceived(b"x" * 1000)
    connection.hang_up()
    assert sink.seen == 0


def test_expectation_is_not_met() -> None:
    """Who asks before sending too large a body is not told to go on."""
    connection = Connection(site_at("/x", Sink()))
    connection.raw(HEAD + b"Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n")
    assert connection.transport.value().startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in connection.transport.value()


def test_expectation_is_met() -> None:
    """Who asks before sending a small one is."""
    connection = Connection(site_at("/x", Sink()))
    connection.raw(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert connection.transport.value() == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.transport.clear()
    connection.raw(b"{}")
    assert connection.received().json == {"members": 0}


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json; charset=latin-1",
        "application/json, text/plain",
    ],
)
def test_content_type(kind: str | None) -> None:
    """Only what calls itself JSON is read: a page of a stranger can send anything else without asking."""
    headers = {} if kind is None else {"Content-Type": kind}
    fetch(site_at("/x", Sink()), "POST", "/x", b"{}", headers=headers).refused("unsupported", 415)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=UTF-8"])
def test_json_type(kind: str) -> None:
    """JSON may be written in any case, and may say that it is UTF-8."""
    assert fetch(site_at("/x", Sink()), "POST", "/x", b"{}", headers={"Content-Type": kind}).status == 200


def test_compressed_body() -> None:
    """A body that would have to be unpacked first is refused."""
    headers = {**JSON, "Content-Encoding": "gzip"}
    fetch(site_at("/x", Sink()), "POST", "/x", b"{}", headers=headers).refused("unsupported", 415)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /x\r\n\r\n",
        b"GET  /x HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHo st: x\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}",
        HEAD + b"Content-Length: +2\r\n\r\n{}",
        HEAD + b"Content-Length: -2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"A: b\r\n" * (HEADERS - 1) + b"\r\n",
        HEAD + b"A: " + b"b" * (HEAD_BYTES - 60) + b"\r\n\r\n",
        b"GET /x HTTP/1.1\nHost: x\n\n",
    ],
)
def test_malformed(raw: bytes) -> None:
    """What could be read in two ways is not read at all, and its connection is closed."""
    sink = Sink()
    connection = Connection(site_at("/x", sink))
    connection.raw(raw)
    assert sink.seen == 0
    assert connection.transport.disconnecting
    connection.received().refused("bad-request", 400)


def test_slow_request() -> None:
    """A request that dribbles in is cut off at its deadline, though every byte starts Twisted's own timer anew."""
    clock = Clock()
    connection = Connection(site_at("/x", Sink(), clock))
    connection.raw(HEAD + b"Content-Length: 200\r\n\r\n")
    for _ in range(int(PATIENCE.body_s) - 1):
        clock.advance(1.0)
        connection.raw(b"a")
    assert not connection.transport.disconnecting
    clock.advance(1.0)
    assert connection.transport.value().startswith(b"HTTP/1.1 408 ")
    assert connection.transport.disconnecting
    connection.hang_up()
    assert not clock.getDelayedCalls()


def test_deadline_is_for_one_request() -> None:
    """Each request has its own time, and none is running while an answer is waited for or nothing is asked."""
    clock = Clock()
    connection = Connection(site_at("/x", Sink(), clock))
    for _ in range(5):
        connection.send("POST", "/x", {})
        assert connection.received().status == 200
        clock.advance(PATIENCE.body_s - 1)
    connection.hang_up()
    assert not clock.getDelayedCalls()


def test_forms_are_not_read() -> None:
    """A form of a page never becomes arguments."""

    class Args(JsonLeaf):
        async def post(self, request: Request, caller: Caller) -> Answer:
            return Answer({"args": len(request.args)})

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert fetch(site_at("/x", Args()), "POST", "/x", b"a=b&c=d", headers=headers).json == {"args": 0}


def test_only_http_1() -> None:
    """Over TLS nothing but HTTP/1.1 is offered."""
    assert WebSite(Branch(), Clock()).acceptableProtocols() == [b"http/1.1"]


def test_pipelined() -> None:
    """Requests that come together are answered one after the other."""
    connection = Connection(site_at("/x", Sink()))
    connection.raw((HEAD + b"Content-Length: 2\r\n\r\n{}") * 2)
    assert connection.transport.value().count(b"HTTP/1.1 200 OK") == 2
