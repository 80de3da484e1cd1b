"""A client's WebSocket of a tunnel, read and written frame by frame on its transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet import protocol
from twisted.internet.interfaces import IHalfCloseableProtocol, INegotiated, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from sessiond.ports import Close
from sessiond.tunnel.frames import FIN, Control, FrameError, FrameReader, Opcode, close_payload, head, read_close
from sessiond.tunnel.outlet import write_now
from sessiond.tunnel.relay import ClientEar

NO_CODE = 1005
"""A close frame came without a code (RFC 6455 section 7.1.5)."""


@implementer(IHalfCloseableProtocol)
class FrameSocket(protocol.Protocol):
    """The :class:`sessiond.tunnel.relay.ClientSide` that takes a connection over once its handshake is done.

    What one read brings is passed on in one piece, and what the endpoint sends in one piece leaves as one frame: so a
    byte costs little more than its copying, and a read costs one write.

    :param lost: is told of the connection's end, for whoever looked after it before.
    """

    hears_words = True

    def __init__(self, reader: FrameReader, lost: Callable[[Failure], object] = lambda reason: None) -> None:
        self._reader, self._lost = reader, lost
        self._ear: ClientEar | None = None
        self._closing = self._failed = self._ended = False
        self.refuses = False
        self._unanswered: bytes | None = None

    @property
    def _transport(self) -> Any:
        # Pauses, takes a producer and aborts, as Twisted's connections do; no one interface says so.
        return self.transport

    # -- what the relay wants ----------------------------------------------------------------------------------------

    def attach(self, ear: ClientEar, producer: IPushProducer) -> None:
        """Begin to tell what comes."""
        self._ear = ear
        self._transport.registerProducer(Noting(self, producer), True)

    def send(self, payload: bytes) -> None:
        """Send one binary message."""
        if not self._closing:
            write_now(self.transport, head(Opcode.BINARY, len(payload)) + payload)

    def ping(self) -> None:
        """Send a ping; any sign of life is an answer."""
        self._send_control(Opcode.PING, b"")

    def close(self, close: Close) -> None:
        """Send a close frame behind what was sent."""
        self._send_close(close_payload(close.code, close.text))
        if self._ended:
            self._hang_up()  # no answer will come

    def pause(self) -> None:
        """Read nothing until ``resume``."""
        self._transport.pauseProducing()

    def resume(self) -> None:
        """Read again; once the end was read there is nothing more to read."""
        if not self._ended:
            self._transport.resumeProducing()

    def abort(self) -> None:
        """Let go now."""
        self._transport.abortConnection()

    # -- what comes --------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Take what came; what a client sends that broke a rule is only searched for its close frame."""
        ear = self._ear
        if ear is None:
            return
        ear.client_heard()
        if self._failed:
            self._hang_up_if_answered(data)
            return
        received = self._reader.receive(data)
        if received.payload:
            ear.client_sent(received.payload)
        try:
            for control in received.controls:
                self._answer(control, ear)
        except FrameError as error:
            self._fail(error, ear)
        if received.error is not None:
            self._fail(received.error, ear)

    def readConnectionLost(self) -> None:
        """It sends no more. Behind a close frame, of whichever side, that is the end of the connection."""
        self._ended = True
        if self._ear is None or self._closing:
            self._hang_up()
        else:
            self._ear.client_ended()

    def writeConnectionLost(self) -> None:
        """Our end behind a close frame was sent."""

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Its connection is gone."""
        ear, self._ear = self._ear, None
        self._lost(reason)
        if ear is not None:
            ear.client_gone()

    def _answer(self, control: Control, ear: ClientEar) -> None:
        if control.opcode is Opcode.CLOSE:
            self._take_close(control.payload, ear)
        elif control.opcode is Opcode.PING:
            self._unanswered = control.payload
            if not self.refuses:
                self.takes_again()

    def takes_again(self) -> None:
        """Answer the last ping: those of a client that takes no bytes would fill memory (RFC 6455 section 5.5.3)."""
        ping, self._unanswered = self._unanswered, None
        if ping is not None and not self._closing:
            self._send_control(Opcode.PONG, ping)

    def _take_close(self, payload: bytes, ear: ClientEar) -> None:
        """The client closes, or answers our close frame (RFC 6455 section 5.5.1); then the connection goes down.

        :raises FrameError: its code or text is not allowed.
        """
        code, _ = read_close(payload)  # its own words are not ours to log
        self._send_close(payload)
        ear.client_closed(Close(NO_CODE if code is None else code))
        self._hang_up()

    def _fail(self, error: FrameError, ear: ClientEar) -> None:
        self._failed = True
        ear.client_failed(Close(error.code, error.text))
        self._end_sending()

    def _hang_up_if_answered(self, data: bytes) -> None:
        """Take a close frame at the beginning of a read for the answer to ours.

        Behind a broken rule nobody knows for sure where a frame begins; a client that answers sends nothing else.
        """
        if data[0] == FIN | Opcode.CLOSE:
            self._hang_up()

    def _end_sending(self) -> None:
        """Have the client read our end behind the close frame, as it should of a server (RFC 6455 section 7.1.7).

        What it still sends is read on: closing a connection with bytes unread resets it, and the close frame is lost.
        """
        if INegotiated.providedBy(self.transport):
            self._hang_up()  # TLS ends as a whole, and reads on by itself
        else:
            self._transport.unregisterProducer()
            self._transport.loseWriteConnection()

    def _hang_up(self) -> None:
        """Close once all is sent."""
        # Twisted's TLS does not even begin to shut down while a producer is registered.
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def _send_control(self, opcode: Opcode, payload: bytes) -> None:
        write_now(self.transport, head(opcode, len(payload)) + payload)

    def _send_close(self, payload: bytes) -> None:
        if not self._closing:
            self._closing = True
            self._send_control(Opcode.CLOSE, payload)


class Refusable(Protocol):
    """A socket that wants to know whether its client takes bytes."""

    refuses: bool

    def takes_again(self) -> None:
        """Send what waited for that."""


@implementer(IPushProducer)
class Noting:
    """Passes a producer's calls on, and notes whether the client takes bytes."""

    def __init__(self, socket: Refusable, producer: IPushProducer) -> None:
        self._socket, self._producer = socket, producer

    def pauseProducing(self) -> None:
        """The client takes no bytes."""
        self._socket.refuses = True
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """It takes bytes again."""
        self._socket.refuses = False
        self._socket.takes_again()
        self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """Its connection is gone."""
        self._producer.stopProducing()
