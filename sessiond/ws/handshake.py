"""The opening handshake of a WebSocket: read strictly before anything is admitted, then handed over to Autobahn.

Autobahn sees a request that we write. So it never refuses in its own way (no body, inner words as the status), never
negotiates an extension, and never has a token, a cookie or an Origin that its log could show.
"""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from typing import Any

from attrs import frozen
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.interfaces import IProtocol
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from sessiond.core.errors import Code, Refused
from sessiond.web.bodies import header
from sessiond.ws.socket import SUBPROTOCOL, Handing, TunnelSocket

VERSION = "13"
KEY_BYTES = 16


@frozen
class Upgrade:
    """A request to speak WebSocket from now on (RFC 6455 section 4.2.1).

    :ivar key: its ``Sec-WebSocket-Key``.
    :ivar binary: whether it offers the subprotocol ``binary``.
    """

    key: str
    binary: bool


def read_upgrade(request: Request) -> Upgrade:
    """Read what a client asks for.

    :raises Refused: ``bad-request``: it is no such request, or not one that is understood.
    """
    if request.method != b"GET" or request.clientproto != b"HTTP/1.1" or "websocket" not in _words(request, "Upgrade"):
        raise Refused(Code.BAD_REQUEST, "this address is for WebSockets")
    if "upgrade" not in _words(request, "Connection"):
        raise Refused(Code.BAD_REQUEST, "the header Connection must hold upgrade")
    if header(request, "Sec-WebSocket-Version") != VERSION:
        raise Refused(Code.BAD_REQUEST, f"version {VERSION} of the protocol is needed")
    key = header(request, "Sec-WebSocket-Key") or ""
    if not _is_key(key):
        raise Refused(Code.BAD_REQUEST, "the header Sec-WebSocket-Key is not understood")
    return Upgrade(key, SUBPROTOCOL in _words(request, "Sec-WebSocket-Protocol", fold=False))


def _words(request: Request, name: str, *, fold: bool = True) -> list[str]:
    """Give the words of a list header, which may stand in several lines."""
    text = b",".join(request.requestHeaders.getRawHeaders(name.encode(), [])).decode("latin-1")
    return [word.strip() for word in (text.lower() if fold else text).split(",")]


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except binascii.Error:
        return False


def switch(request: Request, upgrade: Upgrade, socket: TunnelSocket, factory: WebSocketServerFactory) -> None:
    """Answer 101, and have the socket speak on the request's connection from now on.

    When this returns the socket is open, and bytes that came in one segment with the request wait in its channel for
    :func:`feed`.
    """
    channel: Any = request.channel
    socket.headers = dict(channel.site.headers)
    # The HTTP channel is the transport's producer; ours could not be registered beside it.
    channel.transport.unregisterProducer()
    request.uri = b"/"
    request.content = BytesIO()
    request.requestHeaders = Headers(
        {
            b"Host": [b"localhost"],
            b"Upgrade": [b"websocket"],
            b"Connection": [b"Upgrade"],
            b"Sec-WebSocket-Version": [VERSION.encode()],
            b"Sec-WebSocket-Key": [upgrade.key.encode("ascii")],
        }
    )
    if upgrade.binary:
        request.requestHeaders.setRawHeaders(b"Sec-WebSocket-Protocol", [SUBPROTOCOL.encode()])
    WebSocketResource(Handing(socket, factory)).render(request)  # type: ignore[no-untyped-call]
    # The request is over for the channel; it must not stay in memory as long as the tunnel does.
    channel.requests.clear()
    socket.channel = channel


def feed(request: Request, socket: IProtocol) -> None:
    """Give the socket what its client sent behind the request without waiting for the answer."""
    channel: Any = request.channel
    early = b"".join(channel._dataBuffer)
    channel._dataBuffer.clear()
    if early:
        socket.dataReceived(early)
