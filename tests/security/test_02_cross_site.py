"""Pages of other sites call nothing and open nothing, whatever Origin and Host say, on any route of any listener.

The routes are read from the resource trees and from the OpenAPI document, so that a new one is held by itself.
``/healthz`` and ``/readyz`` alone answer whoever asks; no page can read what they say. A token proves its bearer
whatever Host says, so Hosts are held against callers without one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.web.resource import IResource

from sessiond.broker import Reservation, Tickets
from sessiond.config import Callers, Face, Listener, StaticFolder
from sessiond.config.values import ApiToken
from sessiond.entropy import SystemEntropy
from sessiond.meters import Meters
from sessiond.site import Sources, site_of, tree_of
from sessiond.web.access import Access
from sessiond.web.openapi import DOCUMENT
from tests.fakes.wires import Wire
from tests.web.http import token
from tests.ws.indoors import Indoors, Visitor

LOCAL = IPv4Address("TCP", "127.0.0.1", 9000)
OWN = "127.0.0.1:9000"
PUBLIC = "sessions.example.org"
FILES = (("/files/a.txt", "GET"), ("/a.txt", "GET"))
FOR_ALL = ("/healthz", "/readyz")
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@frozen
class Case:
    """One kind of listener, and how its own page would call."""

    callers: Callers
    tokens: tuple[ApiToken, ...]
    public_url: str | None
    origin: str

    @property
    def host(self) -> str:
        """The Host that its clients send."""
        return self.origin.partition("://")[2]

    @property
    def is_open(self) -> bool:
        """Whether callers without a token pass."""
        return self.callers is Callers.ANYONE


ROOT = (token("root", "operate"),)
CASES = {
    "anyone": Case(Callers.ANYONE, (), None, f"http://{OWN}"),
    "anyone beside tokens": Case(Callers.ANYONE, ROOT, None, f"http://{OWN}"),
    "tokens": Case(Callers.TOKEN, ROOT, None, f"http://{OWN}"),
    "tokens behind a proxy": Case(Callers.TOKEN, ROOT, f"https://{PUBLIC}", f"https://{PUBLIC}"),
}


class AtPort(Wire):
    """A connection to the listener's own port."""

    def getHost(self) -> IPv4Address:
        """Give where it came in."""
        return LOCAL


class House(Indoors):
    """A listener that serves everything, with one session that is ready."""

    def __init__(self, case: Case, folder: Path) -> None:
        super().__init__()
        (folder / "a.txt").write_text("text")
        self.case = case
        sources = Sources(
            self.broker,
            Access(case.tokens, Tickets(SystemEntropy(), self.clock)),
            Meters(self.broker.catalogue.services, self.clock),
            (StaticFolder("/files", folder, listing=True), StaticFolder("/", folder)),
            self.tunnels.resource,
        )
        listener = Listener("web", "tcp:9000", frozenset(Face), case.callers, public_url=case.public_url, port=9000)
        self.tree = tree_of(listener, sources)
        self.site = site_of(listener, sources, self.reactor)
        self.made: Reservation = self.reserve()

    def ask(self, method: str, path: str, headers: list[tuple[str, str]], *, proven: bool = True) -> Visitor:
        """Send a request that lacks nothing but a right Origin or Host.

        :param proven: whether it brings what opens this route.
        """
        path = path.replace("{id}", self.made.session.id)
        sent = [*headers]
        if path == "/tunnel":
            sent += UPGRADE.items()
            path += f"?token={self.made.token}" if proven else ""
        if path.endswith("/liveliness"):
            path += "?liveliness=ping"
            sent.append(("Authorization", f"Bearer {self.made.session.child_secret}"))
        elif proven and self.case.tokens:
            sent.append(("Authorization", "Bearer root-token"))
        body = json.dumps(BODIES.get(path.rpartition("/")[2], {})) if method == "POST" else ""
        if body:
            sent += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent), "", ""]
        return self.visit("\r\n".join(lines).encode("latin-1") + body.encode())

    def visit(self, raw: bytes) -> Visitor:
        """Connect to the listener's own port, and send."""
        wire = AtPort(self.reactor)
        wire.protocol = self.site.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        wire.receive(raw)
        self.advance(0)
        visitor = Visitor(self, wire).look()
        if visitor.status != 101:
            wire.vanish()
        return visitor

    @property
    def all_kept(self) -> object:
        """All that a request could change."""
        sessions = [(session.id, session.state, session.tunnels) for session in self.broker.sessions()]
        return sessions, self.dials, self.broker.session(self.made.session.id).deadlines


BODIES: Mapping[str, object] = {
    "sessions": {"service": "desk"},
    "extend": {"deadline": "connect", "by_s": 1},
}


def walk(resource: IResource, path: str = "") -> Iterator[str]:
    """Name every place in a tree that stands there before anybody asks."""
    within: Any = getattr(resource, "behind", resource)
    for name, child in within.children.items():
        below = f"{path}/{name.decode()}"
        yield below
        yield from walk(child, below)


def routes_of(house: House) -> list[tuple[str, str]]:
    """List every route with its methods; ``{id}`` stands for the session's."""
    described = {
        (f"/api/v1{path}", method.upper())
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
        if method in ("get", "post", "delete", "put", "patch")
    }
    found = {(path, "GET") for path in walk(house.tree)} | {("/files/", "GET"), *FILES}
    return sorted(described | found)


@pytest.fixture(params=CASES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """Give a listener of each kind."""
    return House(CASES[request.param], tmp_path)


def hostile_origins(own: str) -> list[str]:
    """List what pages of others, and those who try things, send as Origin."""
    scheme, _, host = own.partition("://")
    name, colon, port = host.partition(":")
    behind = f"{colon}{port}"
    other = {"http": "https", "https": "http"}[scheme]
    return [
        *("null", "NULL", "Null", "", "*", "http://", "https://", "undefined", "file://", f"ws://{host}", f"//{host}"),
        *(f"{scheme}://{name}.evil.test{behind}", f"{scheme}://evil-{name}{behind}", f"{scheme}://evil.{name}{behind}"),
        *(f"{scheme}://{name}evil.test{behind}", f"{scheme}://{name[:-1]}{behind}", f"{scheme}://{name}%2eevil.test"),
        *(f"{other}://{host}", f"{other}://{name}", f"{scheme}://{name}:9001", f"{scheme}://{name}:1", host, name),
        *(
            f"{scheme}://{name}.{behind}",
            f"{scheme}://.{name}{behind}",
            f"{scheme}://{name}:{port}0",
            own + ":",
            own + "/",
        ),
        *(
            f"{scheme}://{host}@evil.test",
            f"{scheme}://user@{host}",
            f"{scheme}://user:x@{host}",
            f"{own}?x",
            f"{own}#x",
        ),
        *(f"{own}, {own}", f"{own} {own}", f"{own},http://evil.test", f"http://evil.test {own}", f"{own}\t.evil.test"),
        *("http://evil.test", "HTTP://EVIL.TEST", "https://evil.test:9000", f"{scheme}://EVIL.{name.upper()}{behind}"),
        *("http://[::1]:9000", "http://[::ffff:127.0.0.2]:9000", "http://[::1%25lo]:9000", "http://[::1", "http://::1"),
        *("http://2130706433:9000", "http://0177.0.0.1:9000", "http://0x7f.1:9000", "http://127.1:9000"),
        *("http://localhost:9000", "http://0.0.0.0:9000", "http://127.0.0.1.nip.io:9000", "http://ex\xe4mple.org"),
        *("chrome-extension://abcdef", "javascript://127.0.0.1:9000", f"{scheme}:\\\\{host}", f"{scheme}:/{host}"),
    ]


HOSTILE_HOSTS = (
    *("evil.test", "evil.test:9000", "EVIL.TEST:9000", "127.0.0.1.evil.test:9000", "localhost.evil.test:9000"),
    *("evil-127.0.0.1:9000", "127.0.0.1.nip.io:9000", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:9001", "localhost:9001"),
    *("127.0.0.1.:9000", "localhost.:9000", ".localhost:9000", "user@127.0.0.1:9000", "127.0.0.1:9000@evil.test"),
    *("2130706433:9000", "0177.0.0.1:9000", "0x7f.1:9000", "127.1:9000", "0.0.0.0:9000", "[::1]:9000", "[::]:9000"),
    *("[::1%lo]:9000", "[::ffff:127.0.0.2]:9000", "[::1", "::1", "", "null", "*", "127.0.0.1:9000, evil.test", "a b"),
    *(
        "127.0.0.1:9000/",
        "127.0.0.1:9000#",
        "127.0.0.1:9000\\evil.test",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:99999",
    ),
    *("sessions.example.org", "ex\xe4mple.org:9000", "localhost:9000.evil.test", "169.254.169.254"),
)


def held(house: House, method: str, path: str, headers: list[tuple[str, str]], *, proven: bool = True) -> None:
    """Hold that a request is turned away, and leaves nothing behind."""
    before = house.all_kept
    answer = house.ask(method, path, headers, proven=proven)
    told = f"{method} {path} {headers}: {answer.status}"
    head = answer.head.lower()
    assert answer.status in (400, 401, 403), told
    assert answer.problem["code"] in ("bad-request", "no-session-named", "unauthenticated", "forbidden"), told
    # To a browser, a page whose origin is that of the Host is on the same site, and asks for no such header.
    same = ("Origin", f"http://{dict(headers).get('Host')}") in headers
    assert b"access-control-" not in head or same, told
    assert b"location:" not in head, told
    assert b"set-cookie" not in head, told
    assert house.all_kept == before, told


def there(house: House) -> list[tuple[str, str]]:
    """List the routes where something is, and that are not for all."""
    headers = [("Host", house.case.host)]
    found = []
    for path, method in routes_of(house):
        if path in (*FOR_ALL, "/tunnel"):
            continue
        # What can't be repeated is left to the end of each test; it is described, so it is there.
        known = method != "GET" or house.ask(_tried(path, method), path, headers).status not in (404, 405)
        if known:
            found.append((path, method))
    return [*found, ("/tunnel", "GET")]


def _tried(path: str, method: str) -> str:
    """Give the method that shows whether a route is there; the content of files is sent by the real reactor."""
    return "HEAD" if (path, method) in FILES else method


def test_routes(house: House) -> None:
    """Each route answers its own page: what is refused below is refused for its Origin or Host and nothing else."""
    own = [("Host", house.case.host), ("Origin", house.case.origin)]
    routes = there(house)
    assert len(routes) > 20
    for path, method in sorted(routes, key=lambda route: (route[1] == "DELETE", route[0] == "/tunnel")):
        is_report = path.endswith("/liveliness")  # a page is no program
        answer = house.ask(_tried(path, method), path, own[:1] if is_report else own)
        assert answer.status in (101, 200, 201, 204, 301), (method, path, answer.status, answer.body)

    answer = house.ask("GET", "/api/v1/services", own)
    assert f"Access-Control-Allow-Origin: {house.case.origin}".encode() in answer.head


def test_origins(house: House) -> None:
    """No page of another origin is served, on no route and with no method, even with what opens it."""
    host = ("Host", house.case.host)
    for path, method in there(house):
        for origin in hostile_origins(house.case.origin):
            held(house, method, path, [host, ("Origin", origin)])
        held(house, method, path, [host, ("Origin", house.case.origin), ("Origin", "http://evil.test")])
        held(house, method, path, [host, ("Origin", "http://evil.test"), ("Origin", house.case.origin)])


def test_preflights(house: House) -> None:
    """No browser is told that another origin's page may call, on any route, and our own page is."""
    host = ("Host", house.case.host)
    for path, _ in routes_of(house):
        for origin in hostile_origins(house.case.origin):
            answer = house.ask("OPTIONS", path, [host, ("Origin", origin), *PREFLIGHT.items()])
            assert b"access-control-" not in answer.head.lower(), (path, origin)
            assert answer.status in (204, 400, 403, 404, 405), (path, origin)
    answer = house.ask("OPTIONS", "/api/v1/sessions", [host, ("Origin", house.case.origin), *PREFLIGHT.items()])
    assert answer.status == 204
    assert f"Access-Control-Allow-Origin: {house.case.origin}".encode() in answer.head


def test_no_origin(house: House) -> None:
    """A request without Origin passes with a token; without one, on no listener that asks for tokens."""
    host = [("Host", house.case.host)]
    for path, method in (("/api/v1/services", "GET"), ("/metrics", "GET"), ("/api/v1/sessions", "POST")):
        assert house.ask(method, path, host).status in (200, 201)
        if not house.case.is_open:
            held(house, method, path, host, proven=False)
    assert house.ask("GET", "/tunnel", host, proven=False).status == 400
    assert house.ask("GET", "/tunnel", host).status == 101


@pytest.mark.parametrize("case", [name for name in CASES if CASES[name].is_open])
def test_hosts(case: str, tmp_path: Path) -> None:
    """Where no token is asked for, no name but the listener's own is served: not to a page that has it resolve here."""
    house = House(CASES[case], tmp_path)
    for path, method in there(house):
        if path.endswith("/liveliness"):
            continue  # the child secret proves its bearer
        for host in HOSTILE_HOSTS:
            held(house, method, path, [("Host", host)], proven=False)
            held(house, method, path, [("Host", host), ("Origin", f"http://{host}")], proven=False)
        held(house, method, path, [], proven=False)
        held(house, method, path, [("Host", OWN), ("Host", "evil.test")], proven=False)
        held(house, method, path, [("Host", "evil.test"), ("Host", OWN)], proven=False)


@pytest.mark.parametrize("case", [name for name in CASES if CASES[name].is_open])
@pytest.mark.parametrize("said", ["cross-site", "same-site", "odd"])
@pytest.mark.parametrize("mode", ["no-cors", "cors", "websocket", "navigate"])
def test_sent_by_other_sites(case: str, said: str, mode: str, tmp_path: Path) -> None:
    """What a browser says that another site has caused is refused; only pages and files can be linked to from there."""
    house = House(CASES[case], tmp_path)
    caused = [("Host", OWN), ("Sec-Fetch-Site", said), ("Sec-Fetch-Mode", mode)]
    for path, method in there(house):
        if path.endswith("/liveliness") or (path, method) in FILES:
            continue  # the child secret proves its bearer; files are sent by the real reactor
        if mode == "navigate" and not path.startswith(
            ("/api/v1/se", "/api/v1/tickets", "/metrics", "/pressure", "/tunnel")
        ):
            assert house.ask(method, path, caused, proven=False).status in (200, 301)
        else:
            held(house, method, path, caused, proven=False)


def test_for_all(house: House) -> None:
    """What answers whoever asks lets no page read it."""
    for path in FOR_ALL:
        answer = house.ask("GET", path, [("Host", "evil.test"), ("Origin", "http://evil.test")], proven=False)
        assert answer.status == 200
        assert b"access-control-" not in answer.head.lower()
