"""HTTP as the daemon speaks it on the wire: bounded in bytes and time, and without a word of HTML of Twisted's own."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request, Site

from sessiond.core.errors import Code, Refused
from sessiond.web.answers import problem, refuse, send
from sessiond.web.bodies import BODY_BYTES

DROP_BYTES = 1024 * 1024
"""How much of a body that is too large is read and dropped, so that its client can hear the answer."""
REQUEST_S = 30.0
"""How long a request may take to come in, from its first byte to its last. Twisted's own limit begins anew with
every byte, so that a client could hold a connection for days."""
IDLE_S = 60.0
"""How long a connection is kept between requests."""

TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

log = Logger()


class WebRequest(Request):
    """A request whose body is bounded, and whose failures are problem documents."""

    channel: Any  # a WebChannel while there is a connection
    content: Any  # a BytesIO once the headers are there
    _received = 0
    _too_large = False
    _turned_away = False

    def gotLength(self, length: int | None) -> None:
        """Make room for the body, in memory: it is small."""
        self.content = BytesIO()
        self._measure(length or 0)

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of the body, or drop it."""
        self._received += len(data)
        self._measure(self._received)
        if not self._too_large:
            self.content.write(data)

    def _measure(self, length: int) -> None:
        if length > self.channel.site.body_bytes:
            self._too_large = True
            self.requestHeaders.removeHeader(b"Expect")  # asks whether it may send the body: no
        if length > DROP_BYTES and not self._turned_away:
            self._turned_away = True
            # Before the request is there; what still comes is not read.
            self.channel.transport.write(TOO_LARGE)
            self.channel.loseConnection()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Serve the request, unless it was answered already."""
        if not self._turned_away:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Find the resource and have it render, unless the body was too large."""
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


class WebChannel(http.HTTPChannel):
    """A connection on which a request must be there in time."""

    transport: Any
    _deadline: IDelayedCall | None = None

    def dataReceived(self, data: bytes) -> None:
        """Take what came; the first byte of a request begins its time."""
        if not self._handlingRequest and self._deadline is None:
            self._deadline = self.callLater(REQUEST_S, self._too_slow)
        super().dataReceived(data)

    def allContentReceived(self) -> None:
        """Serve the request, which came in time."""
        self._in_time()
        super().allContentReceived()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End all that waits on the connection."""
        self._in_time()
        super().connectionLost(reason)

    def _in_time(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.transport.write(TOO_SLOW)
        self.timeoutConnection()


class WebSite(Site):
    """The resource tree of one listener.

    No access log is written: URLs hold tokens. HTTP/1.1 is all that is offered, whatever else is installed.

    :param answered: takes the status of each answer.
    :param body_bytes: the largest body taken.
    """

    protocol: Any = WebChannel  # without the wrapper that could turn it into HTTP/2
    requestFactory = WebRequest

    def __init__(
        self,
        root: IResource,
        reactor: IReactorTime,
        answered: Callable[[int], object] = lambda status: None,
        body_bytes: int = BODY_BYTES,
    ) -> None:
        # A form of a page is never read into the arguments of a URL.
        super().__init__(root, timeout=IDLE_S, reactor=reactor, parsePOSTFormSubmission=False)
        self.body_bytes = body_bytes
        self._answered = answered

    def startFactory(self) -> None:
        """Begin; Twisted's own would open a log and tick each second."""

    def stopFactory(self) -> None:
        """End."""

    def log(self, request: http.Request) -> None:
        """Count an answer."""
        self._answered(request.code)

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 by ALPN."""
        return [b"http/1.1"]
