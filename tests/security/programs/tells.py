"""A program that speaks WebSocket and writes down every request in full: ``tells.py PORT``."""

import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor


class Tells(WebSocketServerProtocol):
    """One client."""

    def onConnect(self, request: Any) -> None:
        """Write down what it sent."""
        print(self.http_request_uri, request.headers, flush=True)  # noqa: T201  the test reads it


factory = WebSocketServerFactory()
factory.protocol = Tells
reactor.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1")
reactor.run()
