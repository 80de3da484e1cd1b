"""A client's WebSocket of a tunnel, with Autobahn to do the framing."""

from __future__ import annotations

from typing import Any

import txaio
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionRequest
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from sessiond.ports import Close, RelayLimits
from sessiond.tunnel.relay import ClientEar
from sessiond.tunnel.socket import NO_CODE, Noting

SUBPROTOCOL = "binary"
CLOSE_TEXT_BYTES = 123
CONTROL_BYTES = 125
"""RFC 6455 section 5.5: the most that a control frame holds; two bytes of a close frame's are its code."""
LAST_DATA_OPCODE = 7

FAILURES = {
    1002: "protocol error",
    1003: "only binary messages are carried",
    1007: "invalid text",
    1009: "the message is too large",
}
"""What a client is told that broke a rule; Autobahn's own words name numbers and inner things."""


@implementer(IHalfCloseableProtocol)
class TunnelSocket(WebSocketServerProtocol):
    """The :class:`sessiond.tunnel.relay.ClientSide` on Autobahn's own message calls.

    What comes is passed on piece by piece (the streaming calls), so that a message of any size costs no memory. Time
    is not Autobahn's matter here: the relay pings, judges and, in the end, aborts.
    """

    # Below "error" Autobahn writes whole requests and every frame; what is worth a line, the tunnel says itself.
    log = txaio.make_logger(level="error")  # type: ignore[attr-defined]

    hears_words = True
    transport: Any
    ear: ClientEar | None = None
    refuses = ended = False
    unanswered: bytes | None = None
    headers: dict[str, str] = {}  # noqa: RUF012 - none, and never changed in place
    """What its listener adds to every answer."""
    channel: Any = None
    """The HTTP channel whose connection this was; it is told of the end, since it may be counted."""

    # -- what the relay wants ----------------------------------------------------------------------------------------

    def attach(self, ear: ClientEar, producer: IPushProducer) -> None:
        """Begin to tell what comes."""
        self.ear = ear
        self.transport.registerProducer(Noting(self, producer), True)

    def send(self, payload: bytes) -> None:
        """Send one binary message."""
        self.sendMessage(payload, isBinary=True)  # type: ignore[no-untyped-call]

    def ping(self) -> None:
        """Send a ping; any sign of life is an answer."""
        self.sendPing()

    def close(self, close: Close) -> None:
        """Send a close frame behind what was sent."""
        if self.state == self.STATE_OPEN:
            text = close.text.encode()[:CLOSE_TEXT_BYTES].decode(errors="ignore").encode()
            self.sendCloseFrame(close.code, text, isReply=False)
            if self.ended:
                self.transport.loseConnection()  # no answer will come

    def pause(self) -> None:
        """Read nothing until ``resume``."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read again; once the end was read there is nothing more to read."""
        if not self.ended:
            self.transport.resumeProducing()

    def abort(self) -> None:
        """Let go now."""
        self.transport.abortConnection()

    # -- what Autobahn tells -----------------------------------------------------------------------------------------

    def onConnect(self, request: ConnectionRequest) -> tuple[str | None, dict[str, str]]:
        """Answer the one subprotocol that is spoken, if it is offered."""
        return SUBPROTOCOL if SUBPROTOCOL in request.protocols else None, self.headers

    def onMessageBegin(self, isBinary: bool) -> None:
        """A message begins; bytes can't come as text."""
        super().onMessageBegin(isBinary)
        if not isBinary and not self.failedByMe:
            self._fail_connection(1003)

    def onMessageFrameData(self, payload: bytes) -> None:
        """Pass a piece on; nothing that comes after a failure counts."""
        if payload and self.ear is not None and not self.failedByMe:
            self.ear.client_sent(payload)

    def onMessageFrameEnd(self) -> None:
        """Nothing was gathered."""

    def onMessageEnd(self) -> None:
        """Nothing was gathered."""

    def onFrameData(self, payload: bytes) -> bool | None:
        """Once a rule was broken nothing counts but the answer: the rest is dropped, however long it is.

        Autobahn refuses nothing any more once a close frame was sent, not even a control frame of any length.
        """
        is_over = self.failedByMe or self.current_frame.opcode > LAST_DATA_OPCODE
        if self.state != self.STATE_OPEN and is_over and self.current_frame.length > CONTROL_BYTES:
            return None
        return super().onFrameData(payload)

    def onPing(self, payload: bytes) -> None:
        """Answer the last ping once the client takes bytes: more of them would fill memory."""
        self.unanswered = payload
        if not self.refuses:
            self.takes_again()

    def takes_again(self) -> None:
        """Send the answer that waited for that."""
        ping, self.unanswered = self.unanswered, None
        if ping is not None and self.state == self.STATE_OPEN:
            self.sendPong(ping)  # type: ignore[no-untyped-call]

    def onCloseFrame(self, code: Any, reasonRaw: Any) -> bool | None:
        """The client closes, or answers our close frame; either way Autobahn answers and hangs up."""
        done = super().onCloseFrame(code, reasonRaw)
        if self.ear is not None and not self.failedByMe:
            # Its words go no further: who knows what a client writes into our log and our facts.
            self.ear.client_closed(Close(NO_CODE if code is None else code))
        return done

    def readConnectionLost(self) -> None:
        """It sends no more. Behind a close frame, of whichever side, that is the end of the connection."""
        self.ended = True
        if self.ear is None or self.state != self.STATE_OPEN:
            self.transport.loseConnection()
        else:
            self.ear.client_ended()

    def writeConnectionLost(self) -> None:
        """Not asked for."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Its connection is gone."""
        self._connectionLost(reason)  # type: ignore[arg-type]
        ear, self.ear = self.ear, None
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.connectionLost(reason)
        if ear is not None:
            ear.client_gone()

    # -- where Autobahn is put right ---------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Take what came."""
        if self.ear is not None:
            self.ear.client_heard()
        self._dataReceived(data)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Write, without the words that Autobahn would make for its log each time."""
        self.transport.write(data)

    def _fail_connection(self, code: int = 1002, reason: str = "") -> None:
        if self.failedByMe or self.state != self.STATE_OPEN:
            return
        self.failedByMe = True
        close = Close(code, FAILURES.get(code, FAILURES[1002]))
        if self.ear is not None:
            self.ear.client_failed(close)
        else:
            self.close(close)

    def _closeConnection(self, abort: bool = False) -> None:
        # Autobahn resets the connection where the close frames were exchanged; the relay does so only in the end.
        self.transport.loseConnection()


def tunnel_factory(limits: RelayLimits, reactor: object) -> WebSocketServerFactory:
    """Make what all tunnel sockets share: their limits.

    The handshake comes whole from the HTTP channel, which has its own deadlines for it.
    """
    factory: Any = WebSocketServerFactory(server=None, reactor=reactor)  # type: ignore[no-untyped-call]
    factory.setProtocolOptions(
        versions=[13],
        webStatus=False,
        failByDrop=False,
        echoCloseCodeReason=True,
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        autoPingInterval=0,
        maxFramePayloadSize=limits.message_bytes,
        maxMessagePayloadSize=limits.message_bytes,
        perMessageCompressionAccept=lambda offers: None,
        tcpNoDelay=True,
    )
    return factory  # type: ignore[no-any-return]


class Handing:
    """A factory that gives out one socket that was made before: Autobahn's resource asks for it."""

    def __init__(self, socket: TunnelSocket, factory: WebSocketServerFactory) -> None:
        self._socket = socket
        self._socket.factory = factory

    def buildProtocol(self, address: IAddress) -> TunnelSocket:
        """Give the socket."""
        return self._socket
