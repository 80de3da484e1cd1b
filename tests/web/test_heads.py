"""What frames a request: whatever could be read in two ways is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.web.heads import Chunks, Doubtful, Head


def read(raw: bytes) -> list[bytes]:
    """Read a head, and give its lines as they are read further."""
    head = Head()
    return [head.take(line) for line in raw.split(b"\r\n")[:-1]]


def get(*lines: bytes, target: bytes = b"/a?b=c", method: bytes = b"GET", version: bytes = b"1") -> bytes:
    """Write a head with a Host."""
    return b"\r\n".join([b"%s %s HTTP/1.%s" % (method, target, version), b"Host: a.example:8080", *lines, b"", b""])


@pytest.mark.parametrize(
    "raw",
    [
        get(),
        get(b"Content-Length: 0", b"X: \xc3\xa9 \t,;\"'"),
        get(b"Content-Length:12 \t", method=b"POST"),
        get(b"Transfer-Encoding: chunked", method=b"POST"),
        get(b"Upgrade: websocket", b"Connection: Upgrade"),
        get(b"Upgrade: websocket", b"Content-Length: 0"),
        get(b"X:", b"X: ", b"x: 1"),
        get(target=b"*", method=b"OPTIONS"),
        b"GET / HTTP/1.0\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    ],
)
def test_taken(raw: bytes) -> None:
    """What can be read in one way only is passed on as it is."""
    assert b"\r\n".join(read(raw)) + b"\r\n" == raw


@pytest.mark.parametrize(("target", "path"), [(b"/x?y=z", b"/x?y=z"), (b"", b"/"), (b"?q", b"/?q")])
def test_absolute_target(target: bytes, path: bytes) -> None:
    """A target as it is sent to proxies becomes a path, if it names the Host."""
    assert read(get(target=b"http://a.example:8080" + target))[0] == b"GET " + path + b" HTTP/1.1"


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET / HTTP/0.9",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.2",
        b"GET / HTTP/1.1 ",
        b"GET  / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1.1\n",
        b"GET /\r HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /#a HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET //a.example:8080\\@b HTTP/1.1\r",
        b"GET http://b.example/ HTTP/1.1",
        b"GET http://a.example:8080@b/ HTTP/1.1",
        b"GET ftp://a.example:8080/ HTTP/1.1",
        b"CONNECT a.example:8080 HTTP/1.1",
        b"G@T / HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_request_line(line: bytes) -> None:
    """A request line is a method, a path and a version, with one space between."""
    with pytest.raises(Doubtful):
        read(line + b"\r\nHost: a.example:8080\r\n\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"X : 1",
        b" X: 1",
        b"\tX: 1",
        b"X\x0b: 1",
        b"X\x00: 1",
        b": 1",
        b"X",
        b"X Y: 1",
        b"X: a\rb",
        b"X: a\nTransfer-Encoding: chunked",
        b"X: a\x00b",
        b"X: \x7f",
        b"X: \x0bchunked",
        b"Host: a.example:8080",
        b"host: b.example",
    ],
)
def test_header_line(line: bytes) -> None:
    """A header line is a token, a colon and a value without control characters; none goes on from the one before."""
    with pytest.raises(Doubtful):
        read(get(line))


@pytest.mark.parametrize(
    "host",
    [b"", b"a b", b"a,b", b"u@a", b"a/b", b"a?b", b"a:b", b"a:", b"a:80:80", b"[::1", b"\xe4", b"a%00", b"x" * 300],
)
def test_host(host: bytes) -> None:
    """A Host is a name or an address, with a port or without."""
    with pytest.raises(Doubtful):
        read(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host)


def test_no_host() -> None:
    """A Host is needed from HTTP/1.1 on."""
    with pytest.raises(Doubtful):
        read(b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 2", b"Content-Length: 2"),
        (b"Content-Length: 2", b"content-length: 3"),
        (b"Content-Length: 2, 2",),
        (b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        (b"Content-Length: +2",),
        (b"Content-Length: -2",),
        (b"Content-Length: 0x2",),
        (b"Content-Length: 1_0",),
        (b"Content-Length: 2.0",),
        (b"Content-Length: 2 2",),
        (b"Content-Length:",),
        (b"Content-Length: " + b"9" * 5000,),
        (b"Transfer-Encoding: gzip",),
        (b"Transfer-Encoding: identity",),
        (b"Transfer-Encoding: Chunked",),
        (b"Transfer-Encoding: xchunked",),
        (b'Transfer-Encoding: "chunked"',),
        (b"Transfer-Encoding: chunked;a=b",),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: chunked, identity",),
        (b"Transfer-Encoding:",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Upgrade: websocket", b"Content-Length: 2"),
        (b"Upgrade: websocket", b"Transfer-Encoding: chunked"),
    ],
)
def test_lengths(lines: tuple[bytes, ...]) -> None:
    """A body has one length, or is chunked and nothing else."""
    with pytest.raises(Doubtful):
        read(get(*lines, method=b"POST"))


def test_chunked_is_new() -> None:
    """HTTP/1.0 knows no chunks."""
    with pytest.raises(Doubtful):
        read(get(b"Transfer-Encoding: chunked", version=b"0"))


class Body:
    """What a decoder finds, fed in pieces."""

    def __init__(self, raw: bytes, cuts: list[int]) -> None:
        self.content, self.rest = b"", list[bytes]()
        chunks = Chunks(self.take, self.rest.append)
        places = sorted({cut % (len(raw) + 1) for cut in cuts} | {len(raw)})
        for start, end in zip([0, *places], places, strict=False):
            if self.rest:
                self.rest.append(raw[start:end])
            else:
                chunks.dataReceived(raw[start:end])

    def take(self, piece: bytes) -> None:
        """Take a piece."""
        self.content += piece


CUTS = st.lists(st.integers(0, 10_000), max_size=8)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.binary(max_size=20), CUTS)
def test_chunks(pieces: list[bytes], rest: bytes, cuts: list[int]) -> None:
    """However it is cut, a chunked body is its chunks, and what follows it is left over."""
    raw = b"".join(b"%X\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n" + rest
    body = Body(raw, cuts)
    assert body.content == b"".join(pieces)
    assert b"".join(body.rest) == rest


@pytest.mark.parametrize(
    "raw",
    [
        b"2\n{}\r\n",
        b"2;a=b\r\n{}\r\n",
        b"2 \r\n{}\r\n",
        b" 2\r\n{}\r\n",
        b"+2\r\n{}\r\n",
        b"-2\r\n{}\r\n",
        b"0x2\r\n{}\r\n",
        b"1_0\r\n",
        b"\r\n",
        b"zz\r\n",
        b"000000002\r\n{}\r\n",
        b"fffffffffffffff0\r\n",
        b"2\r\r\n{}\r\n",
        b"2\r\n{}}\r\n",
        b"2\r\n{}\n0\r\n",
        b"2\r\n{}\r0\r\n",
        b"0\r\nX: a\r\n\r\n",
        b"0\r\n\n",
        b"0;\r\n\r\n",
    ],
)
def test_malformed_chunks(raw: bytes) -> None:
    """A chunk is a size in plain digits, so many bytes and a line end; no extension, no trailer."""
    for cut in range(len(raw)):
        with pytest.raises(Doubtful):
            Body(raw, [cut])
