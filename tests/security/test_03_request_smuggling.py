"""Request smuggling: the daemon, a proxy in front of it and their client agree how many requests there were."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, running, until
from tests.security.fronts import FRONTS, Dial

LIMITS = '[listeners.web.limits]\nheaders = "3s"\nbody = "3s"\nidle = "3s"\n'
HIDDEN = b"GET /hidden-@@@ HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""What an attacker wants to be served though it stands in something else; ``@@@`` becomes the case's own number."""


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    """Write a request with a body."""
    head = [b"POST /open-@@@ HTTP/" + version, b"Host: localhost", *lines]
    return b"\r\n".join([*head, b"", b""]) + body


def get(*lines: bytes, end: bytes = b"\r\n") -> bytes:
    """Write a request without one."""
    return end.join([b"GET /open-@@@ HTTP/1.1", b"Host: localhost", *lines, b"", b""])


def chunk(content: bytes) -> bytes:
    """Write a chunk."""
    return b"%x\r\n%s\r\n" % (len(content), content)


CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")

IN_ORDER = {
    "one": (get(), 1),
    "two at once": (get() + get(), 2),
    "a body": (post(b"Content-Length: 2", body=b"{}"), 1),
    "a body and another": (post(b"Content-Length: %d" % len(HIDDEN), body=HIDDEN) + get(), 2),
    "chunks": (post(CHUNKED, body=chunk(b"{}") + LAST), 1),
    "chunks that look like a request": (post(CHUNKED, body=chunk(HIDDEN) + LAST) + get(), 2),
    "a last one": (get(b"Connection: close") + HIDDEN, 1),
}
"""What is to be served, and how many requests it is; what stands in a body is none."""

DOUBTFUL = {
    "both lengths": post(b"Content-Length: 6", CHUNKED, body=LAST + b"X" + HIDDEN),
    "both lengths, turned": post(CHUNKED, b"Content-Length: 4", body=chunk(HIDDEN) + LAST),
    "two lengths": post(b"Content-Length: 0", b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
    "the same length twice": post(b"Content-Length: 2", b"Content-Length: 2", body=b"{}" + HIDDEN),
    "a list of lengths": post(b"Content-Length: 0, %d" % len(HIDDEN), body=HIDDEN),
    "a length with a plus": post(b"Content-Length: +2", body=b"{}" + HIDDEN),
    "a length with a minus": post(b"Content-Length: -2", body=HIDDEN),
    "a length in hex": post(b"Content-Length: 0x2", body=b"{}" + HIDDEN),
    "a length with an underscore": post(b"Content-Length: 0_2", body=b"{}" + HIDDEN),
    "a length without end": post(b"Content-Length: " + b"9" * 5000, body=HIDDEN),
    "no length": post(b"Content-Length:", body=HIDDEN),
    "a length after a tab in its name": post(b"Content-Length\t: 2", body=b"{}" + HIDDEN),
    "a space before the colon": post(b"Transfer-Encoding : chunked", body=chunk(HIDDEN) + LAST),
    "identity": post(b"Transfer-Encoding: identity", b"Content-Length: 2", body=b"{}" + HIDDEN),
    "identity alone": post(b"Transfer-Encoding: identity", body=HIDDEN),
    "gzip first": post(b"Transfer-Encoding: gzip, chunked", body=chunk(HIDDEN) + LAST),
    "chunked not last": post(b"Transfer-Encoding: chunked, gzip", body=chunk(HIDDEN) + LAST),
    "chunked twice": post(CHUNKED, CHUNKED, body=chunk(HIDDEN) + LAST),
    "nearly chunked": post(b"Transfer-Encoding: xchunked", body=chunk(HIDDEN) + LAST),
    "quoted": post(b'Transfer-Encoding: "chunked"', body=chunk(HIDDEN) + LAST),
    "a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=chunk(HIDDEN) + LAST),
    "a NUL": post(b"Transfer-Encoding: chunked\x00", body=chunk(HIDDEN) + LAST),
    "folded": post(b"Transfer-Encoding:", b" chunked", body=chunk(HIDDEN) + LAST),
    "folded elsewhere": get(b"X: a", b"\tb") + HIDDEN,
    "behind a bare CR": get(b"X: a\rContent-Length: %d" % len(HIDDEN)) + HIDDEN,
    "behind a bare LF": get(b"X: a\nContent-Length: %d" % len(HIDDEN)) + HIDDEN,
    "bare LFs only": get(end=b"\n") + HIDDEN,
    "an LF in the request line": b"GET /open-@@@ HTTP/1.1\nX: a\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "chunks in HTTP/1.0": post(CHUNKED, body=chunk(HIDDEN) + LAST, version=b"1.0"),
    "HTTP/0.9": b"GET /open-@@@\r\n" + HIDDEN,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "HTTP/1.2": get().replace(b"/1.1", b"/1.2") + HIDDEN,
    "two spaces": get().replace(b"GET ", b"GET  ") + HIDDEN,
    "no Host": get().replace(b"Host: localhost\r\n", b"") + HIDDEN,
    "two Hosts": get(b"Host: localhost") + HIDDEN,
    "another Host": get().replace(b"/open", b"http://other.example/open") + HIDDEN,
    "a Host with a path": get().replace(b"Host: localhost", b"Host: localhost/x") + HIDDEN,
    "a header without a name": get(b": a") + HIDDEN,
    "a header without a colon": get(b"X") + HIDDEN,
    "a chunk size with a plus": post(CHUNKED, body=b"+2\r\n{}\r\n" + LAST + HIDDEN),
    "a chunk size with an x": post(CHUNKED, body=b"0x2\r\n{}\r\n" + LAST + HIDDEN),
    "a chunk size with an underscore": post(CHUNKED, body=b"0_2\r\n{}\r\n" + LAST + HIDDEN),
    "a chunk size that wraps": post(CHUNKED, body=b"10000000000000002\r\n{}\r\n" + LAST + HIDDEN),
    "a chunk size of many noughts": post(CHUNKED, body=b"0" * 900 + b"2\r\n{}\r\n" + LAST + HIDDEN),
    "an extension": post(CHUNKED, body=b"2;a=b\r\n{}\r\n" + LAST + HIDDEN),
    "an extension with a bare LF": post(CHUNKED, body=b"2;\n{}\r\n" + LAST + HIDDEN),
    "a chunk that ends with an LF": post(CHUNKED, body=b"2\r\n{}\n" + LAST + HIDDEN),
    "a chunk that is longer": post(CHUNKED, body=b"2\r\n{}}\r\n" + LAST + HIDDEN),
    "a trailer": post(CHUNKED, body=b"0\r\nContent-Length: 9\r\n\r\n" + HIDDEN),
    "an upgrade with a body": get(*UPGRADE, b"Content-Length: %d" % len(HIDDEN)) + HIDDEN,
}
"""What might be read in two ways: alone the daemon serves nothing of it."""

BEHIND_UPGRADES = {
    "a refused upgrade": get(*UPGRADE, b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==") + HIDDEN,
    "an upgrade to something else": get(b"Connection: Upgrade", b"Upgrade: h2c") + HIDDEN,
}
"""What is refused or served as one request; behind it nothing is."""

CASES = [*(raw for raw, _ in IN_ORDER.values()), *DOUBTFUL.values(), *BEHIND_UPGRADES.values()]
NAMES = [*IN_ORDER, *DOUBTFUL, *BEHIND_UPGRADES]


def say(dial: Dial, raw: bytes) -> bytes:
    """Send something, and give all that comes back until the other end closes."""
    came = b""
    with dial() as leg:
        leg.settimeout(LIMIT_S)
        try:
            leg.sendall(raw)
            while data := leg.recv(1 << 16):
                came += data
        except ConnectionError:
            pass  # it did not read all of it
    return came


def answers(came: bytes) -> list[int]:
    """List the statuses of the daemon's own answers; a proxy's are no JSON."""
    heads = re.findall(rb"HTTP/1\.[01] (\d+) ((?:[^\r\n]*\r\n)+?)\r\n", came)
    return [int(status) for status, lines in heads if b"application/problem+json" in lines.lower()]


def served(daemon: Running, number: int) -> int:
    """Count what the daemon says it has served of a case."""
    return len(re.findall(rf" (?:GET|POST) /(?:open|hidden)-{number:03} \d", daemon.text))


def settle(daemon: Running) -> None:
    """Wait until all that was served before is in the log."""
    daemon.call("GET", "/fence")
    until(lambda: "GET /fence 404" in daemon.text, "the log is written")


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> str:
    """Name what stands in front."""
    return str(request.param)


def test_counts(place: Place, front: str) -> None:
    """Whatever is sent, through whatever stands in front, nothing is served that its sender got no answer to.

    And the other way round: as many answers as were served, and what is in order is served in full.
    """
    place.configure(LIMITS)
    with running(place.config) as daemon, TemporaryDirectory(prefix="sd-") as folder:
        netloc = daemon.ready().netloc
        with FRONTS[front](Path(folder), netloc) as dial, ThreadPoolExecutor(len(CASES)) as threads:
            sent = [raw.replace(b"@@@", b"%03d" % number) for number, raw in enumerate(CASES)]
            came = list(threads.map(lambda raw: say(dial, raw), sent))
            settle(daemon)
        for number, name in enumerate(NAMES):
            found = answers(came[number])
            # What is turned away before it is a request is answered with 400 or 408, and is none.
            counted = [status for status in found if status not in (400, 408)]
            assert served(daemon, number) == len(counted), (name, found, came[number])
            if name in IN_ORDER:
                assert len(counted) == IN_ORDER[name][1], (name, came[number])
            elif front == "directly":
                expected = [404] if name in BEHIND_UPGRADES else [400]
                assert found == expected, (name, came[number])
        assert "critical" not in daemon.text


def test_other_side_of_the_socket(place: Place) -> None:
    """Bytes behind a doubtful request are not read, though they come while its answer is still on its way."""
    place.configure(LIMITS)
    with running(place.config) as daemon:
        host, _, port = daemon.ready().netloc.partition(":")
        with socket.create_connection((host, int(port)), LIMIT_S) as leg:
            leg.sendall(b"nonsense\r\n")
            assert leg.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
            try:
                leg.sendall(get())
                assert leg.recv(1 << 16) == b""
            except ConnectionError:
                pass
        settle(daemon)
        assert "/open-" not in daemon.text
