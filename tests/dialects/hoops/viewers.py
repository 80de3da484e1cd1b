"""Viewers as their child knows them: client-side rendering speaks binary, server-side rendering text."""

import json
from typing import Any

import txaio
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept
from twisted.internet.defer import Deferred
from twisted.internet.ssl import CertificateOptions

txaio.use_twisted()

OPENINGS: dict[str, dict[str, Any]] = {
    "csr": {
        "command": "OPEN_MODEL",
        "model_name": "microengine",
        "stream_version": "1.58",
        "network_version": "1.23",
        "session_token": "",
    },
    "ssr": {"command": "SERVER_SIDE_RENDER", "networkVersion": "1.23", "sessionToken": "", "model": "microengine"},
}
TOKENS = {"csr": "session_token", "ssr": "sessionToken"}
SECOND: dict[str, bytes | str] = {
    "csr": b'{"command":"CONFIGURE_STREAM"}',
    "ssr": '{"command":"SERVER_SIDE_CLIENT_INFO"}',
}


class Refused(Exception):
    """The handshake was answered by plain HTTP.

    :ivar headers: by names in lower case.
    """

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"{status} {body!r}")
        self.status, self.headers, self.body = status, headers, body


class Viewer(WebSocketClientProtocol):
    """One viewer.

    :ivar subprotocol: the one that was selected.
    :ivar extensions: those that were agreed on, as the answer has them.
    :ivar opened: fires when it is open; who cancels it hangs up.
    :ivar ended: code and reason of its end, ``None`` before; the Deferred ``closed`` gives the same.
    """

    log = txaio.make_logger(level="error")  # type: ignore[attr-defined]

    def __init__(self, kind: str, token: str) -> None:
        super().__init__()
        self.kind, self.token = kind, token
        self.subprotocol: str | None = None
        self.extensions = ""
        self.opened: Deferred[Viewer] = Deferred(lambda _: self.drop())
        self.closed: Deferred[tuple[int | None, str | None]] = Deferred()
        self.ended: tuple[int | None, str | None] | None = None
        self._refused: Refused | None = None
        self._answers: list[dict[str, Any]] = []
        self._waiting: Deferred[dict[str, Any]] | None = None

    def processHandshake(self) -> None:
        """Read the answer to the handshake, and fail without a subprotocol where some were offered."""
        head, whole, body = self.data.partition(b"\r\n\r\n")
        if not whole:
            return
        line, *rest = head.decode("latin-1").split("\r\n")
        fields = (field.partition(":") for field in rest)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        status = int(line.split(" ")[1])
        if status != 101:
            self._refused = Refused(status, headers, body)
            if "content-length" in headers and len(body) >= int(headers["content-length"]):
                self.failHandshake("refused")
            return
        if self.factory.protocols and not headers.get("sec-websocket-protocol"):
            self.failHandshake("no subprotocol was selected")
            return
        self.subprotocol = headers.get("sec-websocket-protocol")
        self.extensions = headers.get("sec-websocket-extensions", "")
        super().processHandshake()

    def onOpen(self) -> None:
        """Tell that it is open."""
        self.opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Take a digest, which is an image's place-holder in server-side rendering."""
        assert isBinary == (self.kind == "ssr")
        self._answers.append(json.loads(payload))
        self._give()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Keep how it ended."""
        self.ended = (code, reason)
        if not self.opened.called:
            self.opened.errback(self._refused or ConnectionRefusedError(f"{code} {reason}"))
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(ConnectionError(f"{code} {reason}"))
        self.closed.callback(self.ended)

    def _give(self) -> None:
        if self._waiting is not None and self._answers:
            waiting, self._waiting = self._waiting, None
            waiting.callback(self._answers.pop(0))

    def say(self, payload: bytes | str, fragment: int | None = None) -> None:
        """Send a message, bytes as a binary one and a text as text.

        :param fragment: the most bytes in each of its frames.
        :raises ConnectionError: it is closed.
        """
        if self.state != self.STATE_OPEN:
            raise ConnectionError(f"closed: {self.ended}")
        raw = payload.encode() if isinstance(payload, str) else payload
        self.sendMessage(raw, isBinary=isinstance(payload, bytes), fragmentSize=fragment)

    def next(self) -> Deferred[dict[str, Any]]:
        """Wait for the next digest.

        :raises ConnectionError: (in the Deferred) there is none.
        """
        waiting: Deferred[dict[str, Any]] = Deferred()
        self._waiting = waiting
        self._give()
        if self.ended is not None and self._waiting is not None:
            self._waiting = None
            waiting.errback(ConnectionError(f"{self.ended[0]} {self.ended[1]}"))
        return waiting

    async def open_model(self) -> dict[str, Any]:
        """Say what a viewer says first, and behind it, to learn whether that was taken, what it says second.

        :raises ConnectionError: it was not taken.
        """
        opening = json.dumps(OPENINGS[self.kind] | {TOKENS[self.kind]: self.token})
        self.say(opening if self.kind == "ssr" else opening.encode())
        return await self.exchange(SECOND[self.kind])

    async def exchange(self, payload: bytes | str, fragment: int | None = None) -> dict[str, Any]:
        """Send a message, and give the digest that comes back.

        :raises ConnectionError: it was closed instead.
        """
        self.say(payload, fragment)
        return await self.next()

    async def close(self) -> tuple[int | None, str | None]:
        """Close, and give how that went."""
        if self.ended is None:
            self.sendClose(1000)
            await self.closed
        assert self.ended is not None
        return self.ended

    def drop(self) -> None:
        """Go without a word."""
        transport: Any = self.transport
        transport.abortConnection()


async def connect(
    url: str,
    kind: str,
    origin: str | None = None,
    token: str = "",
    protocols: tuple[str, ...] | None = None,
    deflate: bool = True,
    headers: dict[str, str] | None = None,
) -> Viewer:
    """Open a viewer's WebSocket; over TLS any certificate will do.

    :param kind: csr, or ssr.
    :param protocols: those that it offers; its kind's own if none are given.
    :param deflate: it offers permessage-deflate.
    :raises Refused: the answer was plain HTTP.
    :raises ConnectionRefusedError: there was no answer, or one that a browser drops.
    """
    if protocols is None:
        protocols = ("binary",) if kind == "ssr" else ()
    factory: Any = WebSocketClientFactory(url, origin=origin, protocols=list(protocols), headers=headers)
    factory.setProtocolOptions(
        maxMessagePayloadSize=0,
        maxFramePayloadSize=0,
        openHandshakeTimeout=120,
        closeHandshakeTimeout=30,
        perMessageCompressionOffers=[PerMessageDeflateOffer()] if deflate else [],
        perMessageCompressionAccept=PerMessageDeflateResponseAccept,
    )
    viewer = Viewer(kind, token)
    viewer.factory = factory
    factory.buildProtocol = lambda address: viewer
    factory.clientConnectionFailed = lambda connector, reason: viewer.opened.errback(reason)
    connectWS(factory, contextFactory=CertificateOptions() if url.startswith("wss") else None)
    return await viewer.opened
