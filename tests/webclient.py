"""A WebSocket client for tests, with Autobahn's own client behind it."""

from typing import Any

import txaio
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from twisted.internet.defer import Deferred
from twisted.internet.ssl import CertificateOptions

txaio.use_twisted()


class Browser(WebSocketClientProtocol):
    """Keeps what it was sent, and how it was closed."""

    log = txaio.make_logger(level="error")  # type: ignore[attr-defined]

    def __init__(self) -> None:
        super().__init__()
        self.received = b""
        self.opened: Deferred[Browser] = Deferred()
        self.closed: Deferred[tuple[int | None, str | None]] = Deferred()
        self.wanted: tuple[int, Deferred[bytes]] | None = None

    def onOpen(self) -> None:
        """Tell that the tunnel is open."""
        self.opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Keep what came."""
        self.received += payload
        if self.wanted is not None and len(self.received) >= self.wanted[0]:
            (_, waiting), self.wanted = self.wanted, None
            waiting.callback(self.received)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Keep how it ended."""
        if not self.opened.called:
            self.opened.errback(ConnectionRefusedError(f"{code} {reason}"))
        self.closed.callback((code, reason))

    def bytes(self, count: int) -> Deferred[bytes]:
        """Wait until so many bytes have come in all."""
        waiting: Deferred[bytes] = Deferred()
        if len(self.received) >= count:
            waiting.callback(self.received)
        else:
            self.wanted = (count, waiting)
        return waiting


async def browse(url: str, **headers: str) -> Browser:
    """Open a WebSocket.

    :raises ConnectionRefusedError: it was not let in.
    """
    factory: Any = WebSocketClientFactory(url, protocols=["binary"], headers=headers)
    # By default a closing handshake may take a second; machines are busy.
    factory.setProtocolOptions(openHandshakeTimeout=30, closeHandshakeTimeout=30)
    factory.protocol = Browser
    browser: Deferred[Browser] = Deferred()

    def build(addr: object) -> Browser:
        made = Browser()
        made.factory = factory
        browser.callback(made)
        return made

    factory.buildProtocol = build
    # The certificate is one that the test has made.
    connectWS(factory, contextFactory=CertificateOptions() if url.startswith("wss") else None)
    return await (await browser).opened
