"""Who may see the pages of a session: by a token or ticket once, then by a cookie; programs by token as a bearer."""

from __future__ import annotations

import html
import re
from typing import Protocol
from urllib.parse import urlsplit

from twisted.web.server import Request

from sessiond.core.errors import Code, Refused
from sessiond.core.services import Service
from sessiond.core.session import Session
from sessiond.core.values import Kind
from sessiond.web.access import OTHER_ORIGIN, OUR_OWN_PAGES, Face, bearer_of
from sessiond.web.answers import Answer
from sessiond.web.bodies import argument, header
from sessiond.web.forwarding import COOKIE, Address, our_cookies, target_below
from sessiond.web.origins import read_url
from sessiond.web.visits import Admits, Visit, Visits

CLOSED = "this opens no session here"
ID = re.compile(r"[A-Za-z0-9._~-]{1,128}", re.ASCII)
"""What may stand in a path and in a cookie's name as it is. Sessions of other ids have no pages."""


class Opens(Admits, Protocol):
    """What the entry wants of the broker."""

    def by_token(self, token: str) -> Session:
        """Give the session that a token opens.

        :raises Refused: it opens none; so does ``by_ticket``.
        """

    def by_ticket(self, ticket: str) -> Session:
        """Give the session that a ticket opens, and use the ticket up."""

    def service_of(self, session: Session) -> Service | None:
        """Give a session's service as its program was started, or as it is offered now."""


class Entry:
    """The way to the pages of sessions, on one listener.

    Whether there is a session of an id is told to nobody who can't open it: who shows nothing that opens it is answered
    as if there was none.
    """

    def __init__(self, broker: Opens, visits: Visits, face: Face) -> None:
        self._broker, self._visits, self._face = broker, visits, face

    def address(self, request: Request, session_id: str) -> Address:
        """Give the address of a session's pages, as this client sees it.

        :raises Refused: ``bad-request``: nothing says how the daemon is reached; ``forbidden``: there can be no session
            of this id.
        """
        if ID.fullmatch(session_id) is None:
            raise Refused(Code.FORBIDDEN, CLOSED)
        base = self._face.base_url(header(request, "Host"))
        origin = read_url(base)
        if origin is None:
            raise Refused(Code.BAD_REQUEST, "one valid Host is needed")
        path = f"{urlsplit(base).path}/session/{session_id}".encode("ascii", "replace")
        return Address(path, origin.text.partition("://")[2].encode("ascii"), origin.secure)

    def check_origin(self, request: Request) -> None:
        """Let no page call that may not; a link there may lead here.

        :raises Refused: ``forbidden``.
        """
        origin, host = header(request, "Origin"), header(request, "Host")
        if origin is not None and not followed(request) and not self._face.admits_origin(origin, host):
            raise Refused(Code.FORBIDDEN, OTHER_ORIGIN)

    def visit(self, request: Request, session_id: str) -> Visit | None:
        """Give the visit that a request belongs to; ``None`` for one that shows nothing which opens this session."""
        return self._by_cookie(request, session_id) or self._by_bearer(request, session_id)

    def _by_cookie(self, request: Request, session_id: str) -> Visit | None:
        own = header(request, "Origin") is not None or header(request, "Sec-Fetch-Site") in OUR_OWN_PAGES
        if not own and not followed(request):
            return None
        name = COOKIE + session_id.encode("utf-8", "replace")
        for secret in our_cookies(request.requestHeaders.getRawHeaders(b"Cookie", []), name):
            visit = self._visits.by_cookie(session_id, secret.decode("latin-1"))
            if visit is not None:
                return visit
        return None

    def _by_bearer(self, request: Request, session_id: str) -> Visit | None:
        session = self._opened(token=_bearer(request))
        if session is None or session.id != session_id or not self._is_http(session):
            return None
        return self._visits.by_token(session)

    def proves(self, request: Request) -> bool:
        """Say whether what a request has as ``Authorization`` opens a session: it is for us then, and no program's."""
        return self._opened(token=_bearer(request)) is not None

    async def come(self, request: Request, session_id: str, visit: Visit | None) -> Answer | None:
        """Begin the visit of a browser that brings a token or ticket; ``None`` where it brings none that opens this.

        :param visit: the one that it has already.
        :raises Refused: the session takes no client now, or has no pages.
        """
        token, ticket = argument(request, "token"), argument(request, "ticket")
        if token is not None and ticket is not None:
            raise Refused(Code.BAD_REQUEST, "a token or a ticket is needed, not both")
        session = self._opened(token, ticket)
        if session is None or session.id != session_id:
            return None
        if not self._is_http(session):
            raise Refused(Code.NOT_FOUND)
        address = self.address(request, session_id)
        secret = await self._visits.open(session) if visit is None else None
        answer = self._on(request, address)
        if secret is None:
            return answer
        secure = "; Secure" if address.secure else ""
        kept = f"{COOKIE.decode()}{session_id}={secret}; Path={address.path.decode()}/; HttpOnly; SameSite=Strict"
        return answer.having({"Set-Cookie": kept + secure})

    def _on(self, request: Request, address: Address) -> Answer:
        """Send a browser on to where it wants to be, without the secret.

        A browser that follows a link of another site brings no strict cookie to where it is sent on to, so it gets a
        page that goes on by itself.
        """
        url = (address.path + target_below(request.uri)).decode("ascii", "replace")
        if header(request, "Sec-Fetch-Site") != "cross-site":
            return Answer(None, 303, {"Location": url})
        page = f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(url)}"><title>…</title>'
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "default-src 'none'"}
        return Answer(page.encode(), 200, headers)

    def _opened(self, token: str | None = None, ticket: str | None = None) -> Session | None:
        try:
            if ticket:
                return self._broker.by_ticket(ticket)
            return self._broker.by_token(token) if token else None
        except Refused:
            return None

    def _is_http(self, session: Session) -> bool:
        service = self._broker.service_of(session)
        return service is not None and service.kind is Kind.HTTP


def followed(request: Request) -> bool:
    """Say whether a browser makes a request because its user goes to a page (Fetch metadata, ``navigate``)."""
    mode, where = header(request, "Sec-Fetch-Mode"), header(request, "Sec-Fetch-Dest")
    return request.method in (b"GET", b"HEAD") and (mode, where) == ("navigate", "document")


def _bearer(request: Request) -> str | None:
    try:
        return bearer_of(request)
    except Refused:
        return None
