"""``/session/{id}/…``: WebSockets at an address that names the session beside what proves that it may be opened."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.resource import Resource
from twisted.web.server import Request

from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import Kind
from sessiond.web.access import Face
from sessiond.web.answers import Answer, problem
from sessiond.web.bodies import argument, header
from sessiond.web.leaf import Branch
from sessiond.ws.channel import Admits, CheckOrigin, Entrance
from sessiond.ws.handover import without_secrets

SOCKET = (b"ws",)
"""Where below its address a session of kind ``websocket`` is opened."""
CLOSED = "this opens no session here"


class SessionEntrance:
    """``/session/{id}/ws``: the address names the session, and a token or a ticket of that one opens it.

    Whether there is a session of this id is told to nobody who can't open it.

    :param below: the parts of the path below the session's address.
    """

    def __init__(
        self, broker: Admits, check_origin: CheckOrigin, face: Face, session_id: str, below: tuple[bytes, ...]
    ) -> None:
        self._broker, self._check_origin, self._face = broker, check_origin, face
        self._id, self._below = session_id, below

    async def session(self, request: Request) -> Session:
        """Give the session that is there already."""
        self._check_origin(header(request, "Origin"), header(request, "Host"), self._face)
        token, ticket = argument(request, "token"), argument(request, "ticket")
        if token is not None and ticket is not None:
            raise Refused(Code.BAD_REQUEST, "a token or a ticket is needed, not both")
        session = self._opened(token, ticket)
        if session is None or session.id != self._id:
            raise Refused(Code.FORBIDDEN, CLOSED)
        service = self._broker.service_of(session)
        if service is None or service.kind is not Kind.WEBSOCKET or self._below != SOCKET:
            raise Refused(Code.NOT_FOUND)
        return session

    def _opened(self, token: str | None, ticket: str | None) -> Session | None:
        try:
            if ticket:
                return self._broker.by_ticket(ticket)
            return self._broker.by_token(token) if token else None
        except Refused:
            return None

    def refusal(self, request: Request, refused: Refused) -> Answer:
        """Answer with a problem document."""
        return problem(refused)

    def target(self, request: Request) -> bytes:
        """Give the program's own root, and the query without what let the client in."""
        return b"/" + without_secrets(b"?" + request.uri.partition(b"?")[2])


class SessionPages(Branch):
    """``/session``: every session at an address of its own, whether it is there or not.

    :param gate: gives what lets WebSockets in at an entrance.
    """

    def __init__(
        self, broker: Admits, check_origin: CheckOrigin, face: Face, gate: Callable[[Entrance], Resource]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._broker, self._check_origin, self._face, self._gate = broker, check_origin, face, gate

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Give what answers below one session's address."""
        session_id, below = path.decode("utf-8", "replace"), tuple(request.postpath or ())
        return self._gate(SessionEntrance(self._broker, self._check_origin, self._face, session_id, below))
