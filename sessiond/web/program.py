"""HTTP with a session's program: one connection for one request, its body and its answer passed on as they come.

Connections are not kept for a next request: a new one on the same machine costs next to nothing, and so whatever ends
a request ends just that connection.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web._newclient import HTTPClientParser, Request, TransportProxyProducer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IResponse
from zope.interface import implementer

from sessiond.ports import Clock, RelayLimits
from sessiond.tunnel.tcp import tune
from sessiond.web.forwarding import Lines
from sessiond.web.uploads import Upload

HEAD_BYTES = 64 * 1024
"""The most that an answer's head comes to, with all that is said in front of it (1xx)."""
LENGTHS = range(200, 600)
"""The statuses that an answer may have."""

log = Logger()


class Broken(Exception):
    """The program's answer can't be made use of, or did not come; the text says why and repeats nothing of it."""


@implementer(IBodyProducer)
class Body:
    """A client's upload on its way to the program.

    :ivar stalled: is called where the program takes nothing for ``stall_s``.
    """

    length: Any

    def __init__(self, upload: Upload, clock: Clock, stall_s: float) -> None:
        self._upload, self._clock, self._stall_s = upload, clock, stall_s
        self.length = UNKNOWN_LENGTH if upload.length is None else upload.length
        self.stalled: Any = lambda: None
        self._consumer: Any = None
        self._timer: IDelayedCall | None = None
        self._done: Deferred[None] = Deferred(lambda _: self.stopProducing())

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Begin; fires when all was written."""
        self._consumer = consumer
        self._upload.deliver(self)
        return self._done

    def body_came(self, data: bytes) -> None:
        """Write a part."""
        self._consumer.write(data)

    def body_ended(self) -> None:
        """All was written."""
        self._stop_timer()
        self._consumer = None
        self._done.callback(None)

    def pauseProducing(self) -> None:
        """Write nothing more until the program has read."""
        if self._timer is None:
            self._timer = self._clock.call_later(self._stall_s, self.stalled)
        self._upload.pause()

    def resumeProducing(self) -> None:
        """Go on."""
        self._stop_timer()
        self._upload.resume()

    def stopProducing(self) -> None:
        """Nobody takes it any more."""
        self._stop_timer()
        self._upload.drop()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


@implementer(IHalfCloseableProtocol)
class ProgramConnection(Protocol):
    """A connection to a program, for one request.

    Twisted's own client protocol tells of an answer only once the request was written; a program may answer before.

    :ivar broken: why the answer, of which the head was told, has no proper end.
    """

    transport: Any

    def __init__(self, clock: Clock, limits: RelayLimits) -> None:
        self._clock, self._limits = clock, limits
        self._parser: Any = None
        self._heard: Any = None
        self._proxy: Any = None
        self._request: Any = None
        self._answered: Deferred[IResponse] = Deferred(lambda _: self.abort())
        self._head_bytes = 0
        self._told = self._writing = self._ended = False
        self.broken: str | None = None

    def connectionMade(self) -> None:
        """Send small pieces at once."""
        tune(self.transport, self._limits)

    def send(self, method: bytes, target: bytes, headers: Any, upload: Upload | None) -> Deferred[IResponse]:
        """Ask the program; gives its answer as soon as the head is there.

        :param upload: the body, if there is one.
        :raises Broken: (in the Deferred) no answer came, or none that is one.
        """
        body = None if upload is None else Body(upload, self._clock, self._limits.stall_s)
        if body is not None:
            body.stalled = self._stalled
        self._request = Request(method, target, headers, body)
        self._proxy = TransportProxyProducer(self.transport)
        self._parser = HTTPClientParser(self._request, self._finished)
        self._parser.makeConnection(self._proxy)
        self._heard = self._parser
        self._parser._responseDeferred.addCallbacks(self._tell, self._fail)
        self._writing = body is not None
        self._request.writeTo(self.transport).addCallbacks(self._written, self._not_written)
        return self._answered

    def lines(self, response: IResponse) -> Lines:
        """Give the answer's headers, those between us and the program too, which Twisted keeps apart."""
        kept = (*self._heard.connHeaders.getAllRawHeaders(), *response.headers.getAllRawHeaders())
        return [(name, value) for name, values in kept for value in values]

    def _tell(self, response: Any) -> None:
        if response.code not in LENGTHS:
            self._break("an answer without a proper status")
            return
        self._told = True
        self._answered.callback(response)

    def _fail(self, failure: Failure) -> None:
        if not self._told:
            self._told = True
            self._answered.errback(Broken("the application closed without an answer"))

    def _written(self, _: object) -> None:
        self._writing = False

    def _not_written(self, failure: Failure) -> None:
        self._writing = False
        log.failure("a request could not be written", failure)
        self._break("the request could not be written")

    def _finished(self, rest: bytes) -> None:
        """The answer is there; a request that is not, is not needed any more."""
        parser, self._parser = self._parser, None
        if parser is None:  # it ended with the connection
            return
        self._proxy.stopProxying()
        if self._writing:
            self._stop_writing()
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()
        parser.connectionLost(Failure(ConnectionDone()))  # so Twisted's own client has it tell the body's end

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self.transport.unregisterProducer()
            self._request.stopWriting()

    def _stalled(self) -> None:
        self._break("the application takes no more of the request")

    def _break(self, why: str) -> None:
        """Let go of an answer that is of no use, or of a program that is of none."""
        self.broken = self.broken or why
        if not self._told:
            self._told = True
            self._answered.errback(Broken(why))
        self.abort()

    def abort(self) -> None:
        """Let go now."""
        self._told = True
        self.transport.abortConnection()

    # -- what comes --------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Read the answer."""
        parser = self._parser
        if parser is None or self.broken:
            return
        self._head_bytes += 0 if self._told else len(data)
        try:
            parser.dataReceived(data)
        except Exception as error:  # noqa: BLE001 - whatever the program has sent that can't be read
            log.info("an application's answer can't be read: {error}", error=type(error).__name__)
            self._break("the application's answer is none")
            return
        if not self._told and self._head_bytes > HEAD_BYTES:
            self._break("the application's answer has too long a head")

    def readConnectionLost(self) -> None:
        """The program sends no more. It closed first: a reset leaves its port free at once."""
        self._ended = True
        self.transport.abortConnection()

    def writeConnectionLost(self) -> None:
        """Not asked for."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, and with it what is not there yet."""
        parser, self._parser = self._parser, None
        self._stop_writing()
        if not self._ended and reason.check(ConnectionDone) is None and self.broken is None:
            self.broken = "the application's connection was lost"
        if parser is not None:
            self._proxy.stopProxying()
            parser.connectionLost(reason)
