"""``/session/{id}/…``: the pages of a session's program, passed through request by request."""

from __future__ import annotations

import re
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol as Receiver
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import NO_BODY_CODES, PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.core.errors import Code, Refused
from sessiond.ports import Clock, Close, RelayLimits
from sessiond.tunnel.endpoint import Unreachable, reach
from sessiond.web.answers import Answer, problem, send
from sessiond.web.entry import CLOSED
from sessiond.web.forwarding import Address, answer_lines, request_lines, target_below
from sessiond.web.outcomes import refusal_of_cut
from sessiond.web.program import Broken, ProgramConnection
from sessiond.web.visits import Stay, Visit

NOT_PASSED = (b"CONNECT", b"TRACE")
"""What is asked of us and not of a program."""
PHRASE = re.compile(rb"[\t -~\x80-\xff]*")

log = Logger()


@frozen
class Ways:
    """What requests are passed on with.

    :ivar reactor: connects.
    """

    reactor: object
    clock: Clock
    limits: RelayLimits


class WayIn(Protocol):
    """How clients come to the pages of sessions; :class:`sessiond.web.entry.Entry` says what each method means."""

    def address(self, request: Request, session_id: str) -> Address:
        """Give the address of a session's pages."""

    def check_origin(self, request: Request) -> None:
        """Let no page call that may not."""

    def visit(self, request: Request, session_id: str) -> Visit | None:
        """Give the visit that a request belongs to."""

    async def come(self, request: Request, session_id: str, visit: Visit | None) -> Answer | None:
        """Begin a visit, where the request brings what opens the session."""

    def proves(self, request: Request) -> bool:
        """Say whether the ``Authorization`` of a request is for us."""


class Proxy(Resource):
    """Everything at and below the address of one session."""

    isLeaf = True

    def __init__(self, entry: WayIn, ways: Ways, session_id: str) -> None:
        super().__init__()
        self._entry, self._ways, self._id = entry, ways, session_id

    def render(self, request: Request) -> int:
        """Pass a request on."""
        Passing(self._entry, self._ways, self._id, request).begin()
        return NOT_DONE_YET


class Passing:
    """The :class:`sessiond.web.visits.Guest` that is one request, from its head to the end of its answer.

    :ivar over: the answer was sent, or the client has gone.
    """

    def __init__(self, entry: WayIn, ways: Ways, session_id: str, request: Request) -> None:
        self._entry, self._ways, self._id = entry, ways, session_id
        self._request: Any = request
        self._running: Deferred[None] | None = None
        self._stay: Stay | None = None
        self._connection: ProgramConnection | None = None
        self._why: Refused | None = None
        self._flushing: IDelayedCall | None = None
        self._answering = self.over = False
        self._active_at = 0.0

    def begin(self) -> None:
        """Serve it."""
        self._request.notifyFinish().addBoth(self._end)
        self._running = Deferred.fromCoroutine(self._serve())
        self._running.addErrback(self._fail)

    # -- what the stay wants -----------------------------------------------------------------------------------------

    @property
    def active_at(self) -> float:
        """The instant of the last byte from the client (epoch seconds)."""
        return self._active_at

    def cut(self, close: Close, flush_s: float) -> None:
        """Say why there is no answer, or let the one that has begun come to its end for a while."""
        if self.over:
            return
        if self._answering:
            self._flushing = self._ways.clock.call_later(flush_s, self._break_off)
        elif self._running is not None:
            self._why = refusal_of_cut(close)
            self._running.cancel()

    # -- the request -------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        answer = await self._answer_of_ours()
        if answer is not None:
            send(self._request, answer)

    async def _answer_of_ours(self) -> Answer | None:
        """Pass the request on, or give what is answered in the program's place."""
        request = self._request
        if request.method in NOT_PASSED:
            return problem(Refused(Code.METHOD_NOT_ALLOWED))
        address, target = self._entry.address(request, self._id), target_below(request.uri)
        if not target.startswith(b"/"):
            query = b"".join(request.uri.partition(b"?")[1:])
            return Answer(None, 308, {"Location": (address.path + b"/" + query).decode("ascii", "replace")})
        self._entry.check_origin(request)
        visit = self._entry.visit(request, self._id)
        if request.method == b"GET":
            answer = await self._entry.come(request, self._id, visit)
            if answer is not None:
                return answer
        if visit is None:
            raise Refused(Code.FORBIDDEN, CLOSED)
        self._stay = visit.stay()
        self._stay.join(self)
        await self._pass(self._stay, address, target)
        return None

    async def _pass(self, stay: Stay, address: Address, target: bytes) -> None:
        request, ways = self._request, self._ways
        self._hear()
        if request.upload is not None:
            request.upload.heard = self._hear
        elif request.content.read(1):
            raise Refused(Code.INTERNAL)  # the site does not know that it is to be passed on
        place = await stay.place()
        try:
            connection = await reach(ways.reactor, ways.clock, place.endpoint, place.retry, self._new_connection)
        except Unreachable as error:
            log.info("{id}: a request did not reach the program: {error}", id=self._id, error=error)
            stay.unreached()
            if stay.was_reached:
                raise Refused(Code.UNREACHABLE) from None
            await Deferred()  # the cut that follows says why
            return
        stay.reached()
        self._connection = connection
        hosts = request.requestHeaders.getRawHeaders(b"Host", [address.authority])
        try:
            response = await connection.send(request.method, target, self._headers(address, hosts[0]), request.upload)
        except Broken as broken:
            raise Refused(Code.UNREACHABLE, str(broken)) from None
        self._answer(connection, response, address, hosts[0])

    def _new_connection(self) -> ProgramConnection:
        return ProgramConnection(self._ways.clock, self._ways.limits)

    def _headers(self, address: Address, host: bytes) -> Headers:
        request = self._request
        lines = [(n, v) for n, values in request.requestHeaders.getAllRawHeaders() for v in values]
        peer = getattr(request.getClientAddress(), "host", None)
        headers = Headers()
        for name, value in request_lines(lines, address, peer, proof=self._entry.proves(request)):
            headers.addRawHeader(name, value)
        headers.setRawHeaders(b"Host", [host])
        return headers

    def _hear(self) -> None:
        self._active_at = self._ways.clock.now()

    # -- the answer --------------------------------------------------------------------------------------------------

    def _answer(self, connection: ProgramConnection, response: IResponse, address: Address, host: bytes) -> None:
        request = self._request
        phrase = response.phrase if PHRASE.fullmatch(response.phrase) else None
        request.setResponseCode(response.code, phrase)
        request.defaultContentType = None
        # The operator's own headers win.
        fixed = {name.lower().encode("ascii") for name, _ in request.channel.site.headers}
        lines = [
            (name, value)
            for name, value in answer_lines(connection.lines(response), address, host)
            if name.lower() not in fixed
        ]
        for name in {name for name, _ in lines}:
            request.responseHeaders.removeHeader(name)
        for name, value in lines:
            request.responseHeaders.addRawHeader(name, value)
        length = _length(request.method, response)
        if length is not None:
            request.setHeader(b"Content-Length", length)
        self._answering = True
        request.write(b"")  # the head, which the client need not wait for
        response.deliverBody(_Down(self, request, connection))

    def finish(self, whole: bool) -> None:
        """End the answer: properly, or so that the client sees that there is more which it does not get."""
        if self.over:
            return
        if whole:
            self._request.finish()
        else:
            self._break_off()

    def _break_off(self) -> None:
        if not self.over:
            self._request.channel.drop()

    # -- the end -----------------------------------------------------------------------------------------------------

    def _fail(self, failure: Failure) -> None:
        if self.over:
            return
        refused = self._why if failure.check(CancelledError, ConnectingCancelledError) else failure.value
        if not isinstance(refused, Refused):
            log.failure("a request could not be passed on", failure)
            refused = Refused(Code.INTERNAL)
        if self._request.startedWriting:
            self._break_off()
        else:
            send(self._request, problem(refused))

    def _end(self, outcome: Any) -> None:
        """The answer was sent, or the client has gone."""
        self.over = True
        if self._flushing is not None and self._flushing.active():
            self._flushing.cancel()
        if isinstance(outcome, Failure):
            if self._running is not None:
                self._running.cancel()
            if self._connection is not None:
                self._connection.abort()
        if self._stay is not None:
            self._stay.part(self)


class _Down(Receiver):
    """The body of an answer on its way to the client, who sets the pace."""

    def __init__(self, passing: Passing, request: Any, connection: ProgramConnection) -> None:
        self._passing, self._request, self._connection = passing, request, connection

    def connectionMade(self) -> None:
        """Let the client's connection pause the program's."""
        self._request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """Send a part."""
        self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say how it ended."""
        if self._passing.over:
            return
        self._request.unregisterProducer()
        lost = reason.check(ResponseDone) is None and reason.check(PotentialDataLoss) is None
        self._passing.finish(not lost and self._connection.broken is None)


def _length(method: bytes, response: IResponse) -> bytes | None:
    """Give the length that an answer says; Twisted keeps it apart, but where it is that of an answer to HEAD."""
    if method == b"HEAD":
        values = response.headers.getRawHeaders(b"content-length", [])
        return values[0] if len(values) == 1 and values[0].isdigit() else None
    known = isinstance(response.length, int) and response.code not in NO_BODY_CODES
    return b"%d" % response.length if known else None
