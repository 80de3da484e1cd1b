"""A transport without a network: it notes what was done to it, refuses bytes when told to, and goes down on a Clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ITCPTransport)
class Wire:
    """One end of a connection, seen from the daemon's side. The test is the other end.

    :ivar paused: nothing is read from the test.
    :ivar half_closed: the daemon said that it sends no more; ``closing`` that it wants to close, ``aborted`` that it
        let go at once.
    :ivar unread: what the kernel would say waits to be read.
    """

    disconnecting = False

    def __init__(self, clock: Clock, port: int = 1) -> None:
        self.clock, self.port = clock, port
        self.protocol: Any = None
        self.written = bytearray()
        self.producer: IPushProducer | None = None
        self.paused = self.refusing = False
        self.half_closed = self.closing = self.aborted = self.gone = False
        self.unread = 0

    # -- what the test does ------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Have bytes come; a connection that is paused takes none, so that is the test's mistake."""
        assert not self.paused, "not read at the moment"
        assert not self.gone, "gone"
        self.protocol.dataReceived(data)

    def end(self) -> None:
        """Have the other end say that it sends no more."""
        self.protocol.readConnectionLost()

    def vanish(self) -> None:
        """Have the connection be lost."""
        self._lose(ConnectionLost())

    def refuse(self) -> None:
        """Take no bytes from now on."""
        self.refusing = True
        if self.producer is not None:
            self.producer.pauseProducing()

    def take(self) -> None:
        """Take bytes again."""
        self.refusing = False
        if self.producer is not None:
            self.producer.resumeProducing()

    def sent(self) -> bytes:
        """Give what was written since this was asked last."""
        written = bytes(self.written)
        self.written.clear()
        return written

    def _lose(self, why: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(why))

    # -- what the daemon does ----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Keep what is written."""
        if not (self.half_closed or self.closing or self.gone):
            self.written += data

    def writeSequence(self, data: Any) -> None:
        """Keep all of it."""
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take the one producer."""
        assert self.producer is None, "there is one already"
        self.producer = producer

    def unregisterProducer(self) -> None:
        """Have none."""
        self.producer = None

    def pauseProducing(self) -> None:
        """Read nothing."""
        self.paused = True

    def resumeProducing(self) -> None:
        """Read again."""
        self.paused = False

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    def loseConnection(self) -> None:
        """Close once all is taken."""
        self.closing = True
        if not self.refusing:
            self.clock.callLater(0, self._lose, ConnectionDone())

    def loseWriteConnection(self) -> None:
        """Send no more; that all is with the kernel is told at once, unless bytes are refused."""
        self.half_closed = True
        if not self.refusing:
            self.clock.callLater(0, self._tell_half_closed)

    def _tell_half_closed(self) -> None:
        if not self.gone:
            self.protocol.writeConnectionLost()

    def abortConnection(self) -> None:
        """Let go."""
        self.aborted = True
        self.clock.callLater(0, self._lose, ConnectionAborted())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Take it."""

    def getTcpNoDelay(self) -> bool:
        """Say yes."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Take it."""

    def getTcpKeepAlive(self) -> bool:
        """Say yes."""
        return True

    def getHost(self) -> IPv4Address:
        """Give the daemon's address."""
        return IPv4Address("TCP", "127.0.0.1", 2)

    def getPeer(self) -> IPv4Address:
        """Give the test's address."""
        return IPv4Address("TCP", "127.0.0.1", self.port)
