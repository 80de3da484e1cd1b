"""Where clients come in to what a launcher has started: ``/proxy`` for its WebSocket, ``/api/ID/…`` for its pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from twisted.web.server import Request

from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.dialects.wslink.launching import Front
from sessiond.dialects.wslink.routes import check_origin, failure
from sessiond.web.access import Face
from sessiond.web.answers import Answer
from sessiond.web.bodies import argument, header
from sessiond.web.forwarding import Address, target_below
from sessiond.web.origins import read_url
from sessiond.web.visits import Visit, Visits

ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
PATH = re.compile(r"/?(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*[A-Za-z0-9_~-][A-Za-z0-9._~-]*/?", re.ASCII)
"""What may stand as ``path``: no scheme, no ``//``, and no part that begins with a dot."""
USUAL_PATH = "ws"

FrontOf = Callable[[str], Front]
"""Gives the launcher of a session by the session's id, or raises :class:`Refused`."""


class Passing:
    """What the entrances have in common: the id names the session and is all that a client needs to know."""

    def __init__(self, front_of: FrontOf) -> None:
        self._front_of = front_of

    def _session(self, request: Request, session_id: str) -> Session:
        front = self._front_of(session_id)
        check_origin(front.settings, request)
        # Packed anew at every hop, pictures take many times as long.
        request.requestHeaders.removeHeader(b"Sec-WebSocket-Extensions")
        return front.session(session_id)

    def refusal(self, request: Request, refused: Refused) -> Answer:
        """Answer as a launcher's failures are answered."""
        return failure(refused)


class ByQuery(Passing):
    """``/proxy?sessionId=ID&path=ws``: what Apache rewrites to the program's own address."""

    async def session(self, request: Request) -> Session:
        """Give the session that is there already."""
        session_id = argument(request, "sessionId")
        if session_id is None:
            raise Refused(Code.NO_SESSION_NAMED)
        session = self._session(request, session_id)
        if PATH.fullmatch(argument(request, "path") or USUAL_PATH) is None:
            raise Refused(Code.BAD_REQUEST, "path: not an allowed path")
        return session

    def target(self, request: Request) -> bytes:
        """Give the path that the query says."""
        return b"/" + (argument(request, "path") or USUAL_PATH).lstrip("/").encode("ascii")


class ByPath(Passing):
    """``/api/ID/…`` for a WebSocket."""

    def __init__(self, front_of: FrontOf, session_id: str) -> None:
        super().__init__(front_of)
        self._id = session_id

    async def session(self, request: Request) -> Session:
        """Give the session that is there already."""
        return self._session(request, self._id)

    def target(self, request: Request) -> bytes:
        """Give what stands behind the id."""
        return target_below(request.uri) or b"/"


class RestEntry:
    """``/api/ID/…`` for requests: the :class:`sessiond.web.proxy.WayIn` of those who know a session's id."""

    def __init__(self, front_of: FrontOf, visits: Visits, face: Face) -> None:
        self._front_of, self._visits, self._face = front_of, visits, face

    def address(self, request: Request, session_id: str) -> Address:
        """Give the address of a session's pages, as this client sees it.

        :raises Refused: ``bad-request``: nothing says how the daemon is reached.
        """
        base = self._face.base_url(header(request, "Host"))
        origin = read_url(base)
        if origin is None:
            raise Refused(Code.BAD_REQUEST, "one valid Host is needed")
        path = f"{urlsplit(base).path}/api/{session_id}".encode("ascii", "replace")
        return Address(path, origin.text.partition("://")[2].encode("ascii"), origin.secure)

    def check_origin(self, request: Request) -> None:
        """Let no page call that may not; asked with the session."""

    def visit(self, request: Request, session_id: str) -> Visit | None:
        """Give the visit of all who know the id.

        :raises Refused: ``unknown-session``, ``forbidden``.
        """
        front = self._front_of(session_id)
        check_origin(front.settings, request)
        return self._visits.by_token(front.session(session_id))

    async def come(self, request: Request, session_id: str, visit: Visit | None) -> Answer | None:
        """Nobody has to show anything first."""
        return None

    def proves(self, request: Request) -> bool:
        """What a request has as ``Authorization`` is the program's."""
        return False
