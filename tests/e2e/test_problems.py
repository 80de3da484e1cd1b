"""Every refusal of a real daemon is a problem document with a code that the reference lists, wherever it comes from."""

import itertools
import socket
from collections.abc import Iterator, Mapping
from hashlib import sha256

import pytest
from attrs import frozen

from sessiond.core.errors import SHAPES, Code
from sessiond.web.bodies import BODY_BYTES
from sessiond.web.wire import DROP_BYTES
from tests.e2e.places import Place
from tests.e2e.running import LIMIT_S, Running, running
from tests.web.described import MOUNT, PROBLEM, WHOLE, faults
from tests.web.http import Received, parse

TOKEN = sha256(b"a token of this test").hexdigest()
FOLDER = '[static]\n"/files" = "www"\n'
CONFIG = f"""
[tokens.portal]
digest = "sha256:{sha256(TOKEN.encode()).hexdigest()}"
scopes = ["launch"]
[services.clock]
kind = "text"
launcher = "process"
command = ["sleep", "600"]
endpoint = "stdio"
ready = "started"
count = 1
{FOLDER}"""

ROUTES = tuple(("" if "servers" in item else MOUNT) + path for path, item in WHOLE["paths"].items())
PATHS = (
    *(path.replace("{id}", "clock-none00") for path in ROUTES),
    *("/", "/pages/portal.js", "/pages", "/pages/none", "/files/a.txt", "/files", "/files/none", "/files/../a.txt"),
    *("/tunnel", "/tunnel?token=none", "/tunnel/more", "/none", "//none//", "/%00", "/%ff", "/api", "/api/", "/api/v1"),
    *("/api/v1/none", "/api/v1/sessions/", "/api/v1/sessions/x/none", "/api/v1/sessions/x/log/more", "/healthz/more"),
)
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH", "TRACE", "CONNECT", "PRI", "get")
BEARER = {"Authorization": f"Bearer {TOKEN}"}
UPGRADE = {"Connection": "upgrade, close", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
HEADERS: tuple[Mapping[str, str], ...] = (
    {},
    BEARER,
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Bearer (((("},
    {"Authorization": "Basic eDp5"},
    {"Host": "evil.test"},
    {"Host": ""},
    {"Host": "a, b"},
    {**BEARER, "Origin": "https://evil.test"},
    {**BEARER, "Origin": "null"},
    {**BEARER, "Origin": "\xff"},
    {**BEARER, "Content-Length": "2", "Content-Type": "text/plain"},
    {**BEARER, "Content-Length": "2", "Content-Type": "application/json"},
    {**BEARER, "Content-Length": "0", "Content-Type": "application/json", "Idempotency-Key": "\x7f"},
    {**BEARER, "Content-Length": str(BODY_BYTES + 1)},
    {"Range": "bytes=99999-"},
    {**UPGRADE, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="},
    {**UPGRADE, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": "https://evil.test"},
    {**UPGRADE, "Sec-WebSocket-Key": "short"},
)
HEAD = b"POST /api/v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
ON_THE_WIRE = (
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /healthz\r\n\r\n",
    b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHo st: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 20000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 600 + b"\r\n",
    HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    HEAD + b"Content-Length: -2\r\n\r\n{}",
    HEAD + b"Content-Length: %d\r\n\r\n" % (DROP_BYTES + 1),
    HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
)
"""What is refused before there is a request at all."""


@frozen
class Asked:
    """One request, and what came back."""

    method: str
    path: str
    headers: Mapping[str, str]
    answer: Received

    @property
    def refused(self) -> bool:
        """Say whether it was."""
        return self.answer.status >= 400


def say(daemon: Running, content: bytes) -> bytes:
    """Send bytes on a connection of their own; give all that comes back until it is closed."""
    host, _, port = daemon.netloc.partition(":")
    with socket.create_connection((host, int(port)), LIMIT_S) as connection:
        received = b""
        try:
            connection.sendall(content)
            while part := connection.recv(65536):
                received += part
        except ConnectionError:  # it did not want to read all of it
            pass
        return received


def ask(daemon: Running, method: str, path: str, headers: Mapping[str, str]) -> Asked:
    """Send one request with as many bytes of a body as its headers say."""
    sent = {"Host": daemon.netloc, "Connection": "close", **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    content = "\r\n".join(lines).encode("latin-1") + b"{" * int(headers.get("Content-Length", 0))
    return Asked(method, path, headers, parse(say(daemon, content), method))


def is_problem(answer: Received, method: str = "GET") -> list[str]:
    """Say what is wrong with a refusal."""
    if answer.headers.get("content-type") != "application/problem+json":
        return [f"{answer.headers.get('content-type')}: {answer.body[:100]!r}"]
    if method == "HEAD":
        return []
    document = answer.json
    shape = SHAPES[Code(document["code"])]
    same = (document["status"], document["title"]) == (answer.status, shape.title) and shape.http == answer.status
    return faults(document, PROBLEM) + ([] if same else [f"{document} is not what the table says"])


@pytest.fixture
def daemon(place: Place) -> Iterator[Running]:
    """Give a daemon that serves everything there is."""
    (place.folder / "www").mkdir()
    (place.folder / "www" / "a.txt").write_text("a")
    serves = tuple(sorted({"api", "tunnel", "health", "metrics", "portal", "static"}))
    place.configure(CONFIG, serves=serves)
    place.config.write_text(place.config.read_text().replace('callers = "anyone"', 'callers = "token"'))
    with running(place.config) as found:
        yield found.ready()


def test_every_refusal_is_a_problem_document(daemon: Running) -> None:
    """Whatever is asked of whichever path, what is refused is refused with a code, and nothing fails inside."""
    asked = [
        ask(daemon, method, path, headers)
        for path in PATHS
        for method, headers in (
            *itertools.product(METHODS[:1], HEADERS),
            *itertools.product(METHODS[1:], (BEARER,)),
            *itertools.product(("POST",), HEADERS),
        )
    ]
    refused = [one for one in asked if one.refused]
    wrong = {(one.method, one.path, one.answer.status): is_problem(one.answer, one.method) for one in refused}
    assert {key: found for key, found in wrong.items() if found} == {}
    assert {one.answer.status for one in refused} == {400, 401, 403, 404, 405, 413, 415, 416}
    assert len(refused) > 1000
    assert {one.path for one in refused} == set(PATHS)


def test_refusals_on_the_wire(daemon: Running) -> None:
    """What is no request is refused with a problem document, and never goes on."""
    for content in ON_THE_WIRE:
        answer = say(daemon, content)
        assert b"<" not in answer
        received = parse(answer, "GET")
        assert received.status in (400, 413), content
        assert is_problem(received) == []
    assert daemon.call("GET", "/healthz").status == 200
