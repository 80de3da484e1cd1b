"""Parser abuse: sizes are checked before anything is held, and what is malformed is refused; no crash, hang or growth.

The protocol's own test suite (``tests/conformance``) and the fuzzer of frames (``make fuzz``) go on from here.
"""

import random
import socket
import struct

import pytest

from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, running
from tests.fakes.frames import BINARY, CLOSE, CONTINUATION, MASK, PING, TEXT, frame, request
from tests.hostile.legs import MIB, accept, ended, fixed, gone, join, listen, port_of, resident_bytes

GROWTH_BYTES = 16 * MIB
ROUNDS = 20
LIMITS = '[listeners.web.limits]\nheaders = "2s"\nbody = "2s"\nidle = "2s"\n'


def declared(opcode: int, length: int, first: int = 0x80) -> bytes:
    """Begin a frame that says how long it will be, and is not."""
    return bytes((first | opcode, 0x80 | 127)) + struct.pack("!Q", length) + MASK


ABUSE = {
    "as long as can be": (declared(BINARY, (1 << 63) - 1), 1009),
    "longer than can be": (declared(BINARY, 1 << 63), 1009),
    "longer than is taken": (declared(BINARY, 16 * MIB + 1), 1009),
    "longer in the end": (frame(BINARY, b"x" * MIB, fin=False) + declared(CONTINUATION, 16 * MIB), 1009),
    "a long control frame": (declared(PING, 1 << 40), 1002),
    "half a control frame": (frame(PING, b"x", fin=False), 1002),
    "compressed": (frame(BINARY, b"x", rsv=4), 1002),
    "reserved bits": (frame(BINARY, b"x", rsv=1), 1002),
    "a reserved opcode": (frame(3, b"x"), 1002),
    "not masked": (frame(BINARY, b"x", masked=False), 1002),
    "nothing to go on with": (frame(CONTINUATION, b"x"), 1002),
    "one within another": (frame(BINARY, b"x", fin=False) + frame(BINARY, b"y"), 1002),
    "text": (frame(TEXT, b"x"), 1003),
    "half a close code": (frame(CLOSE, b"\x03"), 1002),
    "a close code that is none": (frame(CLOSE, b"\x00\x05"), 1002),
    "a close text that is none": (frame(CLOSE, b"\x03\xe8\xff\xfe"), 1007),
}
"""What a client sends behind its handshake, and the code that it is told."""


@pytest.mark.parametrize("name", ABUSE)
def test_frames(place: Place, name: str) -> None:
    """Each abuse ends its own tunnel with its code, and costs no memory however often it comes."""
    sent, code = ABUSE[name]
    with listen() as listener, running(place.configure(fixed(port_of(listener)))) as daemon:
        url = daemon.ready().order("echo").json["tunnel_url"]
        before = resident_bytes(daemon.pid)
        for round_ in range(3):
            if round_:
                url = daemon.order("echo").json["tunnel_url"]
            with join(url) as client, accept(listener) as program:
                client.socket.sendall(sent)
                assert client.close_code() == code
                ended(program)
        gone(daemon)
        well(daemon, before)


def test_empty_fragments(place: Place) -> None:
    """A message of a hundred thousand empty fragments is a message, and nothing piles up."""
    with listen() as listener, running(place.configure(fixed(port_of(listener)))) as daemon:
        url = daemon.ready().order("echo").json["tunnel_url"]
        before = resident_bytes(daemon.pid)
        with join(url) as client, accept(listener) as program:
            client.socket.sendall(frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) * 100_000)
            client.socket.sendall(frame(CONTINUATION, b"end"))
            assert program.recv(16) == b"end"
        gone(daemon)
        well(daemon, before)


def test_no_compression(place: Place) -> None:
    """Compression is not taken, however it is offered."""
    with listen() as listener, running(place.configure(fixed(port_of(listener)))) as daemon:
        url = daemon.ready().order("echo").json["tunnel_url"]
        target = "/tunnel" + url.partition("/tunnel")[2]
        host, _, port = daemon.netloc.partition(":")
        with socket.create_connection((host, int(port)), LIMIT_S) as leg:
            offers = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"
            leg.sendall(request(target, offers, host=daemon.netloc))
            head = leg.recv(1 << 16)
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"extensions" not in head.lower()
            accept(listener).close()
            ended(leg)
        gone(daemon)


JSON = {
    "deep": b"[" * 60_000,
    "deep within": b'{"service": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    "a number without end": b'{"service": ' + b"9" * 60_000 + b"}",
    "a huge exponent": b'{"service": 1e999999999}',
    "not a number": b'{"service": NaN}',
    "twice": b'{"service": "echo", "service": "other"}',
    "no UTF-8": b'{"service": "\xff\xfe"}',
    "half a surrogate": b'{"service": "\\ud800"}',
    "UTF-16": '{"service": "echo"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "two of them": b"{}{}",
    "none": b"\x00" * 1000,
    "many keys": b"{" + b",".join(b'"k%d": 1' % number for number in range(6000)) + b"}",
}
"""Bodies that a parser may stumble over."""


def test_bodies(place: Place) -> None:
    """Each is refused as what it is, and costs nothing."""
    with listen() as listener, running(place.configure(fixed(port_of(listener)))) as daemon:
        before = resident_bytes(daemon.ready().pid)
        for _ in range(ROUNDS):
            for name, body in JSON.items():
                answer = said(daemon, post(body, daemon.netloc))
                assert answer[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 404 "), (name, answer)
        well(daemon, before)


def test_mutated_requests(place: Place) -> None:
    """Requests with a few bytes changed or left out are answered or refused, and the daemon survives all of them."""
    drawn = random.Random(23)
    with listen() as listener, running(place.configure(LIMITS + fixed(port_of(listener)))) as daemon:
        before = resident_bytes(daemon.ready().pid)
        good = [post(b'{"service": "none"}', daemon.netloc), request("/tunnel?token=x", host=daemon.netloc), CHUNKS]
        for _ in range(1500):
            raw = bytearray(drawn.choice(good))
            for _ in range(drawn.randint(1, 4)):
                at = drawn.randrange(len(raw))
                raw[at : at + drawn.randint(0, 3)] = drawn.randbytes(drawn.randint(0, 3))
            answer = said(daemon, bytes(raw), half_closed=True)
            assert b"HTTP/1.1 5" not in answer, (raw, answer)
            assert answer == b"" or answer.startswith(b"HTTP/1."), (raw, answer)
        well(daemon, before)


CHUNKS = (
    b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n'
)


def post(body: bytes, host: str) -> bytes:
    """Write a request for a session."""
    lines = ["POST /api/v1/sessions HTTP/1.1", f"Host: {host}", "Content-Type: application/json", "Connection: close"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def said(daemon: Running, raw: bytes, *, half_closed: bool = False) -> bytes:
    """Send something on a connection of its own, and give all that comes back."""
    host, _, port = daemon.netloc.partition(":")
    came = b""
    with socket.create_connection((host, int(port)), LIMIT_S) as leg:
        try:
            leg.sendall(raw)
            if half_closed:
                leg.shutdown(socket.SHUT_WR)
            while data := leg.recv(1 << 16):
                came += data
        except ConnectionError:
            pass
    return came


def well(daemon: Running, before: int) -> None:
    """See that the daemon is as it was."""
    assert daemon.call("GET", "/healthz").status == 200
    assert "critical" not in daemon.text
    grown = resident_bytes(daemon.pid) - before
    assert grown < GROWTH_BYTES, f"{grown / MIB:.1f} MiB more than before"
