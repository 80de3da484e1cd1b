"""HTTP as the daemon speaks it on the wire: bounded in bytes and time, and without a word of HTML of Twisted's own."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from sessiond.config import Patience
from sessiond.core.errors import Code, Refused
from sessiond.web.answers import problem, refuse, send, written
from sessiond.web.bodies import BODY_BYTES
from sessiond.web.heads import Chunks, Doubtful, Head
from sessiond.web.uploads import Upload

DROP_BYTES = 1024 * 1024
"""How much of a body that is too large is read and dropped, so that its client can hear the answer."""
HEAD_BYTES = 16 * 1024
"""The most that a request line and all headers come to; ``HEADERS`` is how many of those there may be."""
HEADERS = 100
CLOSE_S = 5.0
"""How long a client that was turned away may take to let go of its connection."""

log = Logger()


class WebRequest(Request):
    """A request whose body is bounded, and whose failures are problem documents."""

    channel: Any  # a WebChannel while there is a connection
    content: Any  # a BytesIO once the headers are there
    shown_path: bytes | None = None
    upload: Upload | None = None
    """Its body, where the site passes it on as it comes."""
    _received = 0
    _too_large = False
    _turned_away = _served = False

    def gotLength(self, length: int | None) -> None:
        """Make room for the body, in memory: it is small."""
        self.content = BytesIO()
        if length == 0 or not self.channel.streams():
            self._measure(length or 0)
            return
        expects = self.channel.awaits_word(self)
        self.requestHeaders.removeHeader(b"Expect")  # is answered once somebody takes the body
        self.upload = Upload(self.channel, length, self.channel.site.patience.body_s, expects=expects)

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of the body, or drop it."""
        self._received += len(data)
        if self.upload is not None:
            self.upload.came(data)
            return
        self._measure(self._received)
        if not self._too_large:
            self.content.write(data)

    def _measure(self, length: int) -> None:
        if length > self.channel.site.body_bytes:
            self._too_large = True
            self.requestHeaders.removeHeader(b"Expect")  # asks whether it may send the body: no
        if length > DROP_BYTES and not self._turned_away:
            self._turned_away = True
            self.channel.turn_away(Refused(Code.TOO_LARGE))  # before the request is there; what still comes is not read

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Serve the request, unless it was answered already; where that was begun, all of its body is there now."""
        if self.upload is not None and self._served:
            self.upload.ended()
        elif not self._turned_away:
            self._served = True
            super().requestReceived(command, path, version)

    def write(self, data: bytes) -> None:
        """Send a part of the answer; no other request can follow one that is answered before it is there."""
        if not self.startedWriting and self.upload is not None and not self.upload.over:
            self.setHeader(b"Connection", b"close")
            self.channel.persistent = False
        super().write(data)

    def connectionLost(self, reason: Failure) -> None:
        """Take nothing more."""
        if self.upload is not None:
            self.upload.drop()
        super().connectionLost(reason)

    def process(self) -> None:
        """Find the resource and have it render, unless the body was too large."""
        for name, value in self.channel.site.headers:
            self.setHeader(name, value)
        if self._too_large:
            refuse(self, Code.TOO_LARGE)
        else:
            super().process()

    def render(self, resrc: IResource) -> None:
        """Have a resource render, and say in our own words where it does not offer the method."""
        self.responseHeaders.removeHeader(b"server")  # what is served by which version is nobody's business
        super().render(_Outspoken(resrc))

    def processingFailed(self, reason: Failure) -> Failure:
        """Say that something failed, and nothing of what."""
        log.failure("a request failed", reason)
        if self.startedWriting:
            self.loseConnection()
        else:
            refuse(self, Code.INTERNAL)
        return reason


def show_path(request: Request, path: bytes) -> None:
    """Have the log show this in place of a request's path, which may hold a secret."""
    if isinstance(request, WebRequest):
        request.shown_path = path


class _Outspoken:
    """Renders another resource; its unoffered methods become problem documents, where Twisted would write HTML."""

    def __init__(self, resource: IResource) -> None:
        self._resource = resource

    def render(self, request: Request) -> Any:
        """Render."""
        try:
            return self._resource.render(request)
        except UnsupportedMethod as error:
            if request.method == b"HEAD" and b"GET" in error.allowedMethods:
                raise  # Twisted makes a HEAD of the GET
            allow = b", ".join(error.allowedMethods).decode("ascii")
            send(request, problem(Refused(Code.METHOD_NOT_ALLOWED)).having({"Allow": allow}))
            return NOT_DONE_YET


@implementer(IHandshakeListener)
class WebChannel(http.HTTPChannel):
    """A connection that is bounded in time, whatever its client does, and whose requests nobody can read otherwise.

    It is always in one phase: TLS handshake, head, body, answer, rest between requests, close. Each but the answer has
    a time that no byte begins anew, where Twisted's own timer does with every one, so that a client could hold a
    connection for days. How long an answer takes is the daemon's matter, but a client that does not read it is dropped.
    """

    transport: Any
    site: WebSite
    maxHeaders = HEADERS
    totalHeadersSize = HEAD_BYTES
    _deadline: IDelayedCall | None = None
    _head: Head
    _resting = _answering = _leaving = False
    _beyond: Callable[[], object] | None = None
    _most_bytes = 0
    _dataBuffer: list[bytes]
    _streaming: WebRequest | None = None
    """The request whose body is passed on, until that is over."""
    _dropped_bytes: int | None = None

    def connectionMade(self) -> None:
        """Begin the time of the handshake, or of the first request."""
        super().connectionMade()
        self._head = Head()
        if self.isSecure():
            self._within(self.site.patience.handshake_s, self.drop)
        else:
            self._within(self.site.patience.headers_s, self._too_slow)

    def handshakeCompleted(self) -> None:
        """Begin the time of the first request over TLS."""
        self._within(self.site.patience.headers_s, self._too_slow)

    def dataReceived(self, data: bytes) -> None:
        """Take what came; the first byte of a later request begins its time."""
        if self._leaving:
            return
        if self._resting:
            self._resting = False
            self._within(self.site.patience.headers_s, self._too_slow)
        super().dataReceived(data)
        if self.line_mode and b"\n" in self._buffer and not (self._busyReceiving or self._leaving):
            self._refuse(Doubtful("a bare line feed"))  # which others take for a line's end

    def lineReceived(self, line: bytes) -> None:
        """Take a line of a request's head."""
        try:
            line = self._head.take(line)
        except Doubtful as doubt:
            self._refuse(doubt)
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a head that is one endless line."""
        self._respondToBadRequestAndDisconnect()

    def allHeadersReceived(self) -> None:
        """Begin the time of the body, or serve the request without it."""
        request = self.requests[-1]
        self._within(self.site.patience.body_s, self._too_slow)
        if self.length is None:
            self._transferDecoder = Chunks(request.handleContentChunk, self._finishRequestBody)
        super().allHeadersReceived()
        if request.upload is not None:
            self._in_time()
            self._streaming, self._answering = request, True
            # Twisted must not stop to read for the answer's sake: it and the body have a pace of their own each.
            self._handlingRequest = True
            request.upload.begin()
            request.requestReceived(self._command, self._path, self._version)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """Say whether another request may follow: none behind one for another protocol, whether it was let in or not.

        What comes there may be meant for that protocol, and a proxy does not read it.
        """
        if request.requestHeaders.hasHeader(b"Upgrade"):
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def rawDataReceived(self, data: bytes) -> None:
        """Take a part of a body, or what is to wait until a request was answered."""
        if self._beyond is not None:
            self._keep(data)
            return
        try:
            if self._streaming is not None:
                self._take_part(data)
            else:
                super().rawDataReceived(data)
        except Doubtful as doubt:
            self._refuse(doubt)

    # -- bodies that are passed on ------------------------------------------------------------------------------------

    def streams(self) -> bool:
        """Say whether the body of the request whose head is there is passed on as it comes."""
        return bool(self.site.streams(self._path))

    def awaits_word(self, request: Request) -> bool:
        """Say whether a client waits for a word before it sends its body (RFC 9110 section 10.1.1)."""
        asked = request.requestHeaders.getRawHeaders(b"Expect", [b""])[0].lower() == b"100-continue"
        return asked and self._version == b"HTTP/1.1"

    def _take_part(self, data: bytes) -> None:
        if self._dropped_bytes is not None:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > DROP_BYTES:
                self.drop()
                return
        if self._transferDecoder is not None:
            self._transferDecoder.dataReceived(data)

    def read_body(self, reads: bool) -> None:
        """Read on, or read nothing more for now."""
        if reads:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def send_continue(self) -> None:
        """Say that the body may come, unless the answer has begun."""
        if self._streaming is not None and not self._streaming.startedWriting:
            self._send100Continue()

    def body_stalls(self) -> None:
        """Let go of a client that sends no more of its body."""
        self._break_off(Refused(Code.TOO_SLOW))

    def _break_off(self, refused: Refused) -> None:
        """Turn a client away; where its request is served already, say nothing in the midst of the answer."""
        serving = self._streaming
        if serving is not None and serving.startedWriting:
            self.drop()
            return
        self.turn_away(refused)
        if serving is not None:
            self.requests.remove(serving)
            serving.connectionLost(Failure(ConnectionAborted()))

    def hold(self, most_bytes: int, beyond: Callable[[], object]) -> None:
        """Read on behind a request whose answer takes its time, so that a client which hangs up is noticed at once.

        Twisted would read nothing more after 16 KiB of what it can't serve yet.

        :param beyond: is called once when more has come than ``most_bytes``.
        """
        self._beyond, self._most_bytes = beyond, most_bytes
        self._keep(b"")
        self.transport.resumeProducing()

    def release(self) -> None:
        """Hold no more; what was kept waits as it does behind every request."""
        self._beyond = None

    def _keep(self, data: bytes) -> None:
        # In one piece: of many small ones, each would be counted again with every one that comes.
        kept = b"".join((*self._dataBuffer, data))
        self._dataBuffer[:] = [kept]
        if len(kept) > self._most_bytes and self._beyond is not None:
            beyond, self._beyond = self._beyond, None
            beyond()

    def allContentReceived(self) -> None:
        """Serve the request, which came in time, or end the body of one that is served."""
        if self._dropped_bytes is not None:
            self.loseConnection()
            return
        if self._streaming is None:
            self._in_time()
        self._streaming, self._answering = None, True
        self._head = Head()
        super().allContentReceived()

    def pauseProducing(self) -> None:
        """Begin the time in which the client must read what waits for it."""
        if self._answering and self._deadline is None:  # told again with each write: the time is that of the first
            self._within(self.site.patience.stall_s, self.drop)
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Go on with the answer, all of which so far was read."""
        if self._answering:
            self._in_time()
        super().resumeProducing()

    def requestDone(self, request: Request) -> None:
        """Rest until the next request, of which the beginning may be there already."""
        self._answering = False
        if self._streaming is not None:
            self._drop_rest(self._streaming)
            return
        self._resting = True
        self._within(self.site.patience.idle_s, self.loseConnection)
        super().requestDone(request)

    def _drop_rest(self, request: WebRequest) -> None:
        """Read on for a while behind an answer that came early, so that it is heard (RFC 9112 section 9.6)."""
        self.requests.remove(request)
        self._dropped_bytes = 0
        if request.upload is not None:
            request.upload.drop()
        self._within(CLOSE_S, self.loseConnection)

    def loseConnection(self) -> None:
        """Close the connection once its client has read the rest of its answer, but do not wait for ever."""
        self._leave(self.site.patience.stall_s)

    def turn_away(self, refused: Refused) -> None:
        """Say why, where no request is there yet that could be answered, and close; what still comes is not read."""
        if self._leaving:
            return
        answer = problem(refused).having({"Connection": "close"})
        self.transport.write(written(answer))
        self.site.answered(answer.status)
        self._leave(CLOSE_S)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End all that waits on the connection."""
        self._in_time()
        super().connectionLost(reason)

    def _leave(self, limit_s: float) -> None:
        self._leaving = True
        self._within(limit_s, self.drop)
        super().loseConnection()

    def _within(self, limit_s: float, otherwise: Callable[[], object]) -> None:
        """Begin a phase: what must happen unless the next one begins in time."""
        self._in_time()
        self._deadline = self.callLater(limit_s, otherwise)

    def _in_time(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _too_slow(self) -> None:
        self.turn_away(Refused(Code.TOO_SLOW))

    def drop(self) -> None:
        """Let go of the connection now, in the midst of whatever it is."""
        self._leaving = True
        self.transport.abortConnection()

    def _refuse(self, doubt: Doubtful) -> None:
        log.info("{peer} is refused: {why}", peer=getattr(self.getPeer(), "host", "-"), why=doubt)
        self._break_off(Refused(Code.BAD_REQUEST, str(doubt)))

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._refuse(Doubtful("what Twisted does not take"))


class WebSite(Site):
    """The resource tree of one listener.

    No access log is written: URLs hold tokens. HTTP/1.1 is all that is offered, whatever else is installed.

    :param answered: takes the status of each answer.
    :param body_bytes: the largest body taken.
    :param patience: how long a client may take.
    """

    headers: tuple[tuple[str, str], ...] = ()
    """What is added to every answer."""
    streams: Callable[[bytes], bool] = staticmethod(lambda target: False)
    """Says of a request's target whether its body is passed on while it comes, however long it is."""
    protocol: Any = WebChannel  # without the wrapper that could turn it into HTTP/2
    requestFactory = WebRequest

    def __init__(
        self,
        root: IResource,
        reactor: IReactorTime,
        answered: Callable[[int], object] = lambda status: None,
        body_bytes: int = BODY_BYTES,
        patience: Patience | None = None,
    ) -> None:
        # Time is the channel's matter. A form of a page is never read into the arguments of a URL.
        super().__init__(root, timeout=None, reactor=reactor, parsePOSTFormSubmission=False)
        self.body_bytes = body_bytes
        self.patience = patience or Patience()
        self.answered = answered

    def startFactory(self) -> None:
        """Begin; Twisted's own would open a log and tick each second."""

    def stopFactory(self) -> None:
        """End."""

    def log(self, request: http.Request) -> None:
        """Count an answer."""
        self.answered(request.code)

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 by ALPN."""
        return [b"http/1.1"]
