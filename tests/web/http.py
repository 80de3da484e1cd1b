"""HTTP in memory: real bytes on a StringTransport, and a whole daemon behind them."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from sessiond.broker import Tickets
from sessiond.config.values import ApiToken, Callers
from sessiond.core.services import Caps, Service
from sessiond.entropy import digest
from sessiond.web.access import Access, Face
from sessiond.web.api import api_tree
from sessiond.web.leaf import Branch
from sessiond.web.wire import WebSite
from tests.broker.world import POOLS, SERVICES, UNCAPPED, World
from tests.web.described import undescribed

LOCAL = IPv4Address("TCP", "127.0.0.1", 9000)
HOST = "127.0.0.1:9000"
ANYONE = Face(Callers.ANYONE)
TOKENS_ONLY = Face(Callers.TOKEN)


def token(name: str, *scopes: str, groups: Iterable[str] = ()) -> ApiToken:
    """Give an API token whose secret is ``NAME-token``."""
    return ApiToken(name, digest(f"{name}-token"), frozenset(scopes), frozenset(groups))


def bearer(name: str) -> dict[str, str]:
    """Give the header that proves a token."""
    return {"Authorization": f"Bearer {name}-token"}


@frozen
class Received:
    """One answer as a client reads it; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON by its type too."""
        assert self.headers["content-type"] in ("application/json", "application/problem+json"), self
        return json.loads(self.body)

    def refused(self, code: str, status: int) -> dict[str, Any]:
        """Hold that this is a problem document with a code, and give it."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert (document["code"], document["status"], self.status) == (code, status, status), document
        return document


class _Socket:
    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def makefile(self, mode: str) -> io.BytesIO:
        return self._file


def parse(content: bytes, method: str) -> Received:
    """Read one answer."""
    response = http.client.HTTPResponse(cast("Any", _Socket(content)), method=method)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Received(response.status, headers, response.read())


class Connection:
    """One connection to a site.

    :param described: whether each answer must be one that the OpenAPI document has.
    """

    def __init__(self, site: WebSite, local: IAddress = LOCAL, *, described: bool = False) -> None:
        self.transport = StringTransport(hostAddress=local, peerAddress=IPv4Address("TCP", "127.0.0.1", 50000))
        self.channel = site.buildProtocol(self.transport.getPeer())
        self.channel.makeConnection(self.transport)
        self._method, self._path, self._described = "GET", "/", described

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, object] | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        host: str | None = HOST,
    ) -> None:
        """Send a request; a mapping goes as JSON."""
        self._method, self._path = method, path
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [] if host is None else [f"Host: {host}"]
        if isinstance(body, Mapping):
            body = json.dumps(body).encode()
            lines.append("Content-Type: application/json")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        lines += [f"{name}: {value}" for name, value in pairs]
        self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def raw(self, content: bytes) -> None:
        """Send bytes, as a socket delivers them: in parts, and none after the connection was closed."""
        for start in range(0, len(content), 65536):
            if not self.transport.disconnecting:
                self.channel.dataReceived(content[start : start + 65536])

    @property
    def answered(self) -> bool:
        """Whether anything came back."""
        return bool(self.transport.value())

    def received(self) -> Received:
        """Give the answer, and forget it."""
        content = self.transport.value()
        self.transport.clear()
        received = parse(content, self._method)
        if self._described:
            assert undescribed(self._method, self._path, received.status, received.headers, received.body) == []
        return received

    def hang_up(self) -> None:
        """Close the connection from the client's side."""
        self.channel.connectionLost(Failure(ConnectionDone()))


def fetch(site: WebSite, method: str, path: str, *args: Any, local: IAddress = LOCAL, **more: Any) -> Received:
    """Send one request on a connection of its own, and give the answer, which must be there at once."""
    return fetch_on(Connection(site, local), method, path, *args, **more)


def fetch_on(connection: Connection, method: str, path: str, *args: Any, **more: Any) -> Received:
    """Send the only request of a connection, and give the answer, which must be there at once."""
    connection.send(method, path, *args, **more)
    received = connection.received()
    connection.hang_up()
    return received


def site_at(path: str, resource: IResource, clock: Clock | None = None) -> WebSite:
    """Serve one resource at a path."""
    root = tree = Branch()
    *way, last = path.strip("/").encode().split(b"/")
    for part in way:
        branch = Branch()
        tree.putChild(part, branch)
        tree = branch
    tree.putChild(last, resource)
    return WebSite(root, clock or Clock())


class Api:
    """A daemon with its API, and somebody who calls it.

    :ivar world: everything behind the API.
    """

    def __init__(
        self,
        *tokens: ApiToken,
        face: Face = ANYONE,
        services: Sequence[Service] = SERVICES,
        pools: Mapping[str, int] = POOLS,
        caps: Caps = UNCAPPED,
    ) -> None:
        self.world = World(services, pools, caps)
        self.broker = self.world.broker
        self.access = Access(tokens, Tickets(self.world.entropy, self.broker.clock))
        self.site = site_at("/api/v1", api_tree(self.broker, self.access, face), self.world.clock)

    def connect(self, local: IAddress = LOCAL) -> Connection:
        """Open a connection; whatever comes back on it must be as the OpenAPI document says."""
        return Connection(self.site, local, described=True)

    def fetch(self, method: str, path: str, *args: Any, **more: Any) -> Received:
        """Send one request; the path begins below ``/api/v1``."""
        return fetch_on(self.connect(more.pop("local", LOCAL)), method, f"/api/v1{path}", *args, **more)

    def get(self, path: str, **more: Any) -> Received:
        """Send a GET."""
        return self.fetch("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Received:
        """Send a POST."""
        return self.fetch("POST", path, body, **more)

    def create(self, service: str = "plain", headers: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
        """Make a session, let it become as ready as it can, and give what its maker was told."""
        received = self.post("/sessions", {"service": service, **more}, headers=headers or {})
        assert received.status in (201, 202), received
        self.world.advance(0.0)
        told: dict[str, Any] = received.json
        return told
