"""The HTTP face on real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from sessiond.core.values import Reason
from sessiond.web.access import Access
from sessiond.web.api import api_tree
from sessiond.web.leaf import Branch
from sessiond.web.static import Files
from sessiond.web.wire import DROP_BYTES, WebSite
from tests.broker.world import World
from tests.fakes.launchers import ByHand
from tests.reactor import within
from tests.web.http import ANYONE, parse


class Client(Protocol):
    """Keeps what comes until the connection ends."""

    def __init__(self) -> None:
        self.content = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.content += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give what came."""
        self.ended.callback(self.content)


class Served:
    """A daemon that listens; the time of its sessions is a Clock's."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        root, api = Branch(), Branch()
        root.putChild(b"api", api)
        root.putChild(b"files", Files(folder))
        api.putChild(b"v1", api_tree(self.world.broker, Access(()), ANYONE))
        self.root, self.port = root, 0

    async def call(self, head: str, body: bytes = b"") -> Client:
        """Connect and send a request."""
        from twisted.internet import reactor

        client: Client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), Client())
        lines = [head, f"Host: 127.0.0.1:{self.port}", "Connection: close", "", ""]
        assert client.transport is not None
        client.transport.write("\r\n".join(lines).encode() + body)
        return client


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """Listen on a free port of the loopback."""
    from twisted.internet import reactor

    daemon = Served(tmp_path)
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(WebSite(daemon.root, reactor))
    daemon.port = listening.getHost().port
    yield daemon
    await listening.stopListening()


@within(30)
async def test_api(served: Served) -> None:
    """A session is made over a socket, and its tunnel's address is the one that was called."""
    body = b'{"service": "plain"}'
    head = f"POST /api/v1/sessions HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    received = parse(await (await served.call(head, body)).ended, "POST")
    assert received.status == 201
    assert received.json["tunnel_url"].startswith(f"ws://127.0.0.1:{served.port}/tunnel?token=")


@within(30)
async def test_file(served: Served, tmp_path: Path) -> None:
    """A large file arrives whole."""
    (tmp_path / "large.js").write_bytes(b"0123456789" * 200_000)
    received = parse(await (await served.call("GET /files/large.js HTTP/1.1")).ended, "GET")
    assert received.body == b"0123456789" * 200_000


@within(30)
async def test_hang_up(served: Served) -> None:
    """A client that closes its socket while it waits gives its session up."""
    served.world.launcher.script = ByHand()
    body = json.dumps({"service": "plain", "wait": "ready"}).encode()
    head = f"POST /api/v1/sessions HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    given_up: Deferred[None] = Deferred()
    leave = served.world.broker.leave

    def left(session_id: str, caller: int) -> None:
        leave(session_id, caller)
        given_up.callback(None)

    served.world.broker.leave = left  # type: ignore[method-assign]
    client = await served.call(head, body)
    begun = await served.call("GET /api/v1/sessions HTTP/1.1")
    assert len(parse(await begun.ended, "GET").json["sessions"]) == 1
    assert client.transport is not None
    client.transport.loseConnection()
    await given_up
    assert served.world.broker.sessions()[0].reason is Reason.CALLER_GONE
    await client.ended


@within(30)
async def test_body_too_large(served: Served) -> None:
    """A body that is read to its end is refused with words that arrive; a huge one ends the connection."""
    head = "POST /api/v1/sessions HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: "
    refused = await served.call(f"{head}{DROP_BYTES}", b"x" * DROP_BYTES)
    parse(await refused.ended, "POST").refused("too-large", 413)
    cut = await served.call(f"{head}{10 * DROP_BYTES}")
    assert (await cut.ended).startswith(b"HTTP/1.1 413 ")
