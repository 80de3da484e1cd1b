"""A stand-in of the daemon for clients in JavaScript: the wire of the feed, with every fault that a test asks for.

A program: it prints its address, serves worlds below ``/w/NAME/``, each with a history of its own, and ends with its
standard input. A world is told what to do by ``POST /w/NAME/control`` and tells what it saw by ``GET``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import txaio
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data, File

from tests.clients.worlds import Client, World, world_of

txaio.use_twisted()

CLIENT = Path(__file__).parents[2] / "clients" / "js"
EVENT_STREAM = "text/event-stream"


class Socket(WebSocketServerProtocol):  # type: ignore[misc, unused-ignore]
    """A feed as a WebSocket."""

    log = txaio.make_logger(level="error")  # type: ignore[attr-defined]
    client: Client | None = None

    def onConnect(self, request: Any) -> None:
        """Learn who comes."""
        self._name = request.path.split("/")[2]
        self._query = {name: values[-1] for name, values in request.params.items()}
        self._how = request.headers["x-how"]

    def onOpen(self) -> None:
        """Serve."""
        world = world_of(self._name)
        self.client = Client(world, self._query, self.tell, self.sendClose, self.dropConnection)
        world.begin(self.client, self._how)

    def tell(self, text: str) -> None:
        """Send."""
        self.sendMessage(text.encode())

    def dropConnection(self, abort: bool = True) -> None:
        """Break off."""
        super().dropConnection(abort=abort)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Take a command."""
        if self.client is not None:
            self.client.command(payload.decode())

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Forget."""
        if self.client is not None:
            self.client.world.forget(self.client)


def upgrades() -> WebSocketResource:
    """Make what takes connections over."""
    factory = WebSocketServerFactory()
    factory.setProtocolOptions(closeHandshakeTimeout=5)
    factory.protocol = Socket
    return WebSocketResource(factory)


class Events(Resource):
    """The feed."""

    isLeaf = True

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def render_GET(self, request: Request) -> Any:
        """Serve, as a WebSocket or as a stream, or refuse."""
        query = {name: values[-1] for name, values in parse_qs(request.uri.decode().partition("?")[2]).items()}
        transport = "websocket" if request.getHeader("Upgrade") else "sse"
        how = self._world.plan(transport, query, request.getHeader("Authorization"))
        if not set(query["topics"].split(",")) <= self._world.known:
            return refuse(request, 404)
        if how == "hang":
            return NOT_DONE_YET
        if how == "cut":
            request.channel.forceAbortClient()
            return NOT_DONE_YET
        if how[0].isdigit():
            return refuse(request, int(how[:3]), how[4:] or None)
        if transport == "websocket":
            request.requestHeaders.setRawHeaders("X-How", [how])
            return upgrades().render(request)
        return self._stream(request, query, how)

    def _stream(self, request: Request, query: dict[str, str], how: str) -> int:
        request.setHeader("Content-Type", EVENT_STREAM)
        request.setHeader("Access-Control-Allow-Origin", "*")
        request.write(b": hello\r\n\r\n")

        def send(text: str) -> None:
            found = json.loads(text) if text.startswith("{") else {}
            place = f"id: {found['epoch']}:{found['offset']}\n" if "offset" in found else ""
            request.write(f"{place}data: {text}\n\n".encode())

        def cut() -> None:
            request.channel.forceAbortClient()

        client = Client(self._world, query, send, lambda code, reason: request.finish(), cut)
        request.notifyFinish().addBoth(lambda _: self._world.forget(client))
        client.beat = lambda: request.write(f"id: {self._world.epoch}:{self._world.offset}\n\n".encode())
        self._world.begin(client, how)
        return NOT_DONE_YET


def refuse(request: Request, status: int, retry_after: str | None = None) -> bytes:
    """Answer with a problem."""
    request.setResponseCode(status)
    request.setHeader("Content-Type", "application/problem+json")
    if retry_after is not None:
        request.setHeader("Retry-After", retry_after)
    return json.dumps({"status": status, "code": "made-up", "title": "As the test wants it"}).encode()


def content(request: Request) -> bytes:
    """Read what came with a request."""
    return b"" if request.content is None else bytes(request.content.read())


class Rest(Resource):
    """All else below ``/api/v1``: answers what it was told to, tickets by itself."""

    isLeaf = True

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def render(self, request: Request) -> bytes:
        """Answer."""
        raw = content(request)
        headers = {name: request.getHeader(name) for name in ("Authorization", "Idempotency-Key", "Prefer")}
        path = request.uri.decode().partition("/api/v1/")[2]
        call = {"method": request.method.decode(), "path": path, "body": json.loads(raw) if raw else None}
        self._world.calls.append({**call, **{name: value for name, value in headers.items() if value}})
        request.setHeader("Content-Type", "application/json")
        found = self._world.states.get(path.partition("?")[0])
        if found is not None:
            request.setResponseCode(found[0])
            return json.dumps(found[1]).encode()
        if self._world.answers:
            status, said, body = self._world.answers.pop(0)
            request.setResponseCode(status)
            for name, value in said.items():
                request.setHeader(name, value)
            return body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return json.dumps({"ticket": f"ticket-{len(self._world.calls)}"}).encode()


class Control(Resource):
    """What tests say to a world, and ask of it."""

    isLeaf = True

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def render_GET(self, request: Request) -> bytes:
        """Tell what was seen."""
        return json.dumps(self._world.told).encode()

    def render_POST(self, request: Request) -> bytes:
        """Do something."""
        self._world.do(json.loads(content(request)))
        return self.render_GET(request)


class Worlds(Resource):
    """All worlds."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Give what of one world is asked for."""
        world = world_of(path.decode())
        rest = b"/".join(request.postpath or ())
        if rest == b"control":
            return Control(world)
        return Events(world) if rest == b"api/v1/events" else Rest(world)


def site() -> Site:
    """Make the whole."""
    root = Resource()
    root.putChild(b"", Data(b"<!doctype html><title>page</title><div id=place></div>", "text/html"))
    File.contentTypes = {**File.contentTypes, ".js": "text/javascript"}
    root.putChild(b"client", File(str(CLIENT)))
    root.putChild(b"w", Worlds())
    return Site(root)


class UntilEnd(Protocol):
    """Ends the program with its standard input."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End."""
        from twisted.internet import reactor

        reactor.stop()


def main() -> None:
    """Serve until standard input ends."""
    from twisted.internet import reactor

    served: Any = site()
    port: Any = reactor.listenTCP(0, served, interface="127.0.0.1")
    sys.stdout.write(f"http://127.0.0.1:{port.getHost().port}/\n")
    sys.stdout.flush()
    StandardIO(UntilEnd())
    reactor.run()


if __name__ == "__main__":
    main()
