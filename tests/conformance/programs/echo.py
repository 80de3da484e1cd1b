"""A program that speaks WebSocket by Autobahn, and sends back what it gets: ``echo.py PORT``."""

import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor


class Echo(WebSocketServerProtocol):
    """One client."""

    def onConnect(self, request: Any) -> str | None:
        """Say what came of the request, and take the first subprotocol that is offered."""
        print(request.path, sorted(request.headers), flush=True)  # noqa: T201  the test reads it
        return next(iter(request.protocols), None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Send it back; at a certain word, close."""
        if payload == b"close":
            self.sendClose(4321, "as you wish")
        else:
            self.sendMessage(payload, isBinary)


factory = WebSocketServerFactory()
factory.protocol = Echo
reactor.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1")
reactor.run()
