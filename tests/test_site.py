"""The resource tree: a listener has what it serves, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource
from twisted.web.server import Request

from sessiond.config import Callers, Face, Listener, StaticFolder
from sessiond.meters import Meters
from sessiond.site import Sources, site_of
from sessiond.web.access import Access
from tests.broker.world import World
from tests.reactor import within

ADDRESS = IPv4Address("TCP", "127.0.0.1", 8080)

MOUNTED = {
    Face.API: ["/api/v1/services", "/api/v1/sessions", "/api/v1/openapi.json"],
    Face.PORTAL: ["/", "/pages/portal.js"],
    Face.STATIC: ["/files/a.txt", "/deep/er/a.txt"],
    Face.TUNNEL: ["/tunnel", "/session/x/y"],
    Face.HEALTH: ["/healthz", "/readyz"],
    Face.METRICS: ["/metrics", "/pressure"],
}
"""What each face mounts."""


class Tunnel(Resource):
    """Stands for the resource that opens tunnels."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Say that it was reached, and how."""
        return b"tunnel " + b"/".join(request.postpath or [])


class Transport(StringTransport):
    """A connection to loopback."""

    connected = True

    def getHost(self) -> Any:
        """Give where it came in."""
        return ADDRESS


class Listening:
    """One listener, asked in memory."""

    def __init__(
        self, tmp_path: Path, *serves: Face, whole: bool = False, tunnel: Listener | None = None
    ) -> None:
        (tmp_path / "a.txt").write_text("text")
        (tmp_path / "b").mkdir(exist_ok=True)
        folders = ["/files", "/deep/er", "/deep/est", *(["/"] if whole else [])]
        static = tuple(StaticFolder(path, tmp_path) for path in folders)
        self.world = World()
        broker, clock = self.world.broker, self.world.clock
        self.meters = Meters(broker.catalogue.services, broker.clock)
        access, leaf = Access(()), lambda face: Tunnel()
        sources = Sources(broker, access, self.meters, static, leaf, tunnel, sessions=leaf)
        listener = Listener("web", "tcp:8080", frozenset(serves), Callers.ANYONE)
        self.site = site_of(listener, sources, clock)

    async def get(self, path: str, order: str | None = None) -> tuple[int, bytes]:
        """Get a path, or post an order to it; give status and body. Files are sent in turns of the real reactor."""
        from twisted.internet import reactor

        channel = self.site.buildProtocol(ADDRESS)
        transport = Transport()
        channel.makeConnection(transport)
        verb = "GET" if order is None else "POST"
        about = "" if order is None else f"Content-Type: application/json\r\nContent-Length: {len(order)}\r\n"
        request = f"{verb} {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{about}\r\n{order or ''}"
        channel.dataReceived(request.encode())
        while channel.requests:
            await deferLater(reactor, 0)
        head, _, body = transport.value().partition(b"\r\n\r\n")
        channel.connectionLost()
        return int(head.split()[1]), body


@pytest.mark.parametrize("face", Face)
@within(30)
async def test_only_what_is_served(face: Face, tmp_path: Path) -> None:
    """A listener answers below the mount points of what it serves; the others are not there."""
    listening = Listening(tmp_path, face)
    for other, paths in MOUNTED.items():
        for path in paths:
            there = other is face or face is Face.TUNNEL  # which has a port to itself then
            # Any two words may be a secret and an id.
            nothing = {404, 405} if face is Face.CHILD else {404}
            assert (await listening.get(path))[0] in ({200} if there else nothing), path


@within(30)
async def test_all_together(tmp_path: Path) -> None:
    """All faces live on one listener."""
    listening = Listening(tmp_path, *Face)
    for path in [path for paths in MOUNTED.values() for path in paths]:
        assert (path, (await listening.get(path))[0]) == (path, 200)


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/services",
        "/api//v1///services",
        "///files//a.txt",
        "/files//a.txt",
        "//tunnel",
        "//healthz",
        "//",
        "//pages///portal.js",
    ],
)
@within(30)
async def test_slashes_collapse(path: str, tmp_path: Path) -> None:
    """However many slashes stand in a row, they count as one."""
    assert (await Listening(tmp_path, *Face).get(path))[0] == 200


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1", "/api/v2", "/deep", "/pages/", "/files/none", "/x", "/tunnel2"]
)
@within(30)
async def test_nothing_there(path: str, tmp_path: Path) -> None:
    """What is no mount point is a problem document, with nothing of the request in it."""
    status, body = await Listening(tmp_path, *Face).get(path)
    assert status == 404
    assert json.loads(body)["code"] == "not-found"


@pytest.mark.parametrize(
    "path", ["/files/../a.txt", "/files/%2e%2e/x", "/files/..%2fx", "/api/../files/a.txt", "/..", "/%2e%2e/"]
)
@within(30)
async def test_no_way_up(path: str, tmp_path: Path) -> None:
    """Nothing lies above or beside a mount point."""
    assert (await Listening(tmp_path, *Face).get(path))[0] == 404


@within(30)
async def test_tunnel_gets_the_rest(tmp_path: Path) -> None:
    """What stands behind a leaf's mount point is the leaf's."""
    assert (await Listening(tmp_path, *Face).get("/tunnel//a/b"))[1] == b"tunnel a/b"


@within(30)
async def test_static_everywhere(tmp_path: Path) -> None:
    """A folder at ``/`` has every path that is no mount point, and no mount point."""
    listening = Listening(tmp_path, Face.API, Face.STATIC, whole=True)
    assert (await listening.get("/a.txt")) == (200, b"text")
    assert (await listening.get("//a.txt")) == (200, b"text")
    assert (await listening.get("/b"))[0] == 301
    assert (await listening.get("/none"))[0] == 404
    assert (await listening.get("/"))[0] == 404
    assert (await listening.get("/api/v1/services"))[0] == 200


@within(30)
async def test_answers_are_counted(tmp_path: Path) -> None:
    """Every answer is counted, by its status."""
    listening = Listening(tmp_path, *Face)
    await listening.get("/healthz")
    await listening.get("/none")
    text = (await listening.get("/metrics"))[1].decode()
    assert 'sessiond_requests_answered_total{status="2xx"} 1\n' in text
    assert 'sessiond_requests_answered_total{status="4xx"} 1\n' in text


@pytest.mark.parametrize(
    ("tunnel", "url"),
    [
        (Listener("t", "tcp:9001", frozenset({Face.TUNNEL}), port=9001), "ws://127.0.0.1:9001/tunnel?token="),
        (Listener("t", "ssl:443", frozenset({Face.TUNNEL}), port=443), "wss://127.0.0.1/tunnel?token="),
        (Listener("t", "tcp:1", frozenset({Face.TUNNEL}), public_url="https://h/x"), "wss://h/x/tunnel?token="),
        (None, "ws://127.0.0.1:8080/tunnel?token="),
    ],
)
@within(30)
async def test_where_tunnels_open(tunnel: Listener | None, url: str, tmp_path: Path) -> None:
    """Whoever makes a session is told where its tunnel opens, also on a listener of its own."""
    listening = Listening(tmp_path, Face.API, *([] if tunnel else [Face.TUNNEL]), tunnel=tunnel)
    status, body = await listening.get("/api/v1/sessions", json.dumps({"service": "lazy"}))
    assert status == 201
    assert json.loads(body)["tunnel_url"].startswith(url)
