"""``/api/v1/sessions``: making, seeing, extending and ending sessions, and the reports of their programs."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

from sessiond.broker import Broker, Reservation
from sessiond.core.effects import Verdict
from sessiond.core.errors import Code, Refused
from sessiond.core.events import Release
from sessiond.core.session import Session
from sessiond.core.values import State
from sessiond.web.access import NOBODY, Access, Caller, Face, Scope, bearer_of
from sessiond.web.answers import Answer, problem
from sessiond.web.bodies import argument, header, read_object
from sessiond.web.child import liveliness_of
from sessiond.web.leaf import ApiLeaf, JsonLeaf, NotFound, finish_anyway
from sessiond.web.orders import read_extension, read_order
from sessiond.web.outcomes import refusal_of
from sessiond.web.shapes import Shape, session_shape, session_url, ticket_shape, tunnel_url
from sessiond.web.waiting import latest, ordered

LAST_LINES = 20
"""How many lines of output go with a launch that failed."""
LINES, MOST_LINES = 100, 1000
PER_TURN = 200
"""How many sessions of a list are told in one turn of the reactor: tunnels must not wait for thousands."""


class Sessions(ApiLeaf):
    """All sessions of a caller, and the place where new ones are made."""

    def __init__(self, broker: Broker, access: Access, face: Face) -> None:
        super().__init__(access, face)
        self._broker = broker

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Give one session; whether there is one with this id shows when it is asked for."""
        session_id = path.decode("ascii", "replace")
        return OneSession(self._broker, self._access, self._face, session_id) if session_id else NotFound()

    async def get(self, request: Request, caller: Caller) -> Answer:
        """List them."""
        return Answer({"sessions": await owned_shapes(self._broker, caller)})

    async def post(self, request: Request, caller: Caller) -> Answer:
        """Make one, or find the one that the same Idempotency-Key made."""
        key, prefer = header(request, "Idempotency-Key"), header(request, "Prefer")
        order = read_order(read_object(request), caller, key, prefer)
        if not caller.sees(self._broker.service(order.request.service)):
            raise Refused(Code.UNKNOWN_SERVICE)
        reservation, verdict = await ordered(self._broker, order.request)
        session = latest(self._broker, reservation)
        over = session.state in (State.STOPPING, State.ENDED)
        if order.waits and (verdict is Verdict.ENDED or over):
            return self._failed(session, caller)
        if over:
            return Answer(session_shape(self._broker, session))
        return self._made(session, reservation, verdict, request)

    def _made(self, session: Session, reservation: Reservation, verdict: Verdict | None, request: Request) -> Answer:
        urls = urls_shape(self._broker, self._face, header(request, "Host"), session, reservation.token)
        secrets = secrets_shape(self._broker, session, reservation.token)
        shape = {**full_shape(self._broker, session), **secrets, **urls}
        later = session.state is State.QUEUED or verdict is Verdict.LATER
        return Answer(shape, 202 if later else 201, {"Location": f"sessions/{session.id}"})

    def _failed(self, session: Session, caller: Caller) -> Answer:
        reason = None if session.reason is None else session.reason.value
        log = self._last_lines(session) if Scope.READ in caller.scopes else None
        return problem(refusal_of(session), session=session.id, reason=reason, cause=session.cause or None, log=log)

    def _last_lines(self, session: Session) -> list[str]:
        try:
            return self._broker.tail(session.id, LAST_LINES)
        except Refused:  # forgotten already
            return list(session.tail)


class _OfOne(ApiLeaf):
    """What has to do with one session, which is looked up anew with every request."""

    def __init__(self, broker: Broker, access: Access, face: Face, session_id: str) -> None:
        super().__init__(access, face)
        self._broker, self._id = broker, session_id

    def _own(self, caller: Caller) -> Session:
        """Give the session.

        :raises Refused: ``unknown-session``, for another's too: that there is one is no business of the caller.
        """
        session = self._broker.session(self._id)
        if not caller.owns(session):
            raise Refused(Code.UNKNOWN_SESSION)
        return session


class OneSession(_OfOne):
    """A session itself."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Give what else can be asked of it."""
        part = PARTS.get(path)
        return NotFound() if part is None else part(self._broker, self._access, self._face, self._id)

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Tell how it stands."""
        return Answer(full_shape(self._broker, self._own(caller)))

    async def delete(self, request: Request, caller: Caller) -> Answer:
        """End it; to end it again does no harm."""
        self._own(caller)
        session = await finish_anyway(self._broker.dispatch(self._id, Release()), lambda session: None)
        return Answer(full_shape(self._broker, session or self._own(caller)))


class Log(_OfOne):
    """The last lines that a session's program wrote."""

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Give ``lines`` of them."""
        self._own(caller)
        return Answer({"lines": self._broker.tail(self._id, _lines(argument(request, "lines")))})


class Extension(_OfOne):
    """More time for a session."""

    async def post(self, request: Request, caller: Caller) -> Answer:
        """Push a deadline on, as far as the service allows."""
        wanted = read_extension(read_object(request), self._own(caller), self._broker.clock.now())
        session = await finish_anyway(self._broker.dispatch(self._id, wanted), lambda session: None)
        return Answer(full_shape(self._broker, session or self._own(caller)))


class SessionTickets(_OfOne):
    """Tickets for a session: each opens its tunnel once, in the place of the token."""

    async def post(self, request: Request, caller: Caller) -> Answer:
        """Make one."""
        session = self._own(caller)
        issued = self._broker.issue_ticket(session, caller.owner)
        urls = urls_shape(self._broker, self._face, header(request, "Host"), session, issued.ticket, by="ticket")
        return Answer({**ticket_shape(issued), **urls}, 201)


class Reports(JsonLeaf):
    """What a session's program says of itself; it proves itself by the child secret."""

    def __init__(self, broker: Broker, access: Access, face: Face, session_id: str) -> None:
        super().__init__()
        self._broker, self._id = broker, session_id

    def admit(self, request: Request, verb: str) -> Caller:
        """Let the session's own program pass, and nobody know whether there is such a session."""
        if header(request, "Origin") is not None:
            raise Refused(Code.FORBIDDEN, "a page is no program")
        given = (bearer_of(request) or "").encode()
        try:
            secret = self._broker.session(self._id).child_secret.encode()
        except Refused:
            secret = b""
        if not hmac.compare_digest(secret, given) or not secret:
            raise Refused(Code.UNAUTHENTICATED)
        return NOBODY

    async def post(self, request: Request, caller: Caller) -> Answer:
        """Take a report; what stands in its body is of no interest."""
        what = liveliness_of(argument(request, "liveliness"))
        await finish_anyway(self._broker.report(self._id, what), lambda session: None)
        return Answer(None, 204)


PARTS: Mapping[bytes, Callable[[Broker, Access, Face, str], Resource]] = {
    b"log": Log,
    b"extend": Extension,
    b"tickets": SessionTickets,
    b"liveliness": Reports,
}
"""What can be asked of one session beside itself, by the last part of its path."""


async def owned_shapes(broker: Broker, caller: Caller) -> list[Shape]:
    """Tell all sessions of a caller, in several turns of the reactor where there are many."""
    owned = [session for session in broker.sessions() if caller.owns(session)]
    shapes: list[Shape] = []
    for start in range(0, len(owned), PER_TURN):
        if start:
            turned: Deferred[None] = Deferred()
            broker.clock.call_later(0.0, turned.callback, None)
            await turned
        shapes.extend(session_shape(broker, session) for session in owned[start : start + PER_TURN])
    return shapes


def urls_shape(
    broker: Broker, face: Face, host: str | None, session: Session, secret: str, by: str = "token"
) -> Shape:
    """Tell where a session is opened; the URLs hold the secret that does it.

    :param host: of the request.
    """
    service = broker.service_of(session)
    return {
        "tunnel_url": tunnel_url(face, host, secret, by),
        "url": session_url(service, face, host, session.id, secret, by),
    }


def secrets_shape(broker: Broker, session: Session, token: str) -> Shape:
    """Tell what opens a session, to who has made it: its token, and what its program wants to hear."""
    service = broker.service_of(session)
    shared = service is not None and service.shares_secret
    return {"token": token, "application_secret": session.application_secret if shared else None}


def full_shape(broker: Broker, session: Session) -> Shape:
    """Tell a single session, with what would take too long to find out for each of many."""
    return {**session_shape(broker, session), "eta_s": broker.eta_s(session)}


def _lines(text: str | None) -> int:
    if text is None:
        return LINES
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_LINES):
        raise Refused(Code.BAD_REQUEST, f"lines: a number from 1 to {MOST_LINES} is needed")
    return int(text)
