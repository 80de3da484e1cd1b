"""Who may spawn, as one listener has it."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.web.server import Request

from sessiond.config import Hoops, SpawnAccess
from sessiond.core.errors import Code, Refused
from sessiond.web.access import OTHER_ORIGIN, Access, Caller, Face, Scope, bearer_of, check_unproven
from sessiond.web.bodies import header
from sessiond.web.leaf import PREFLIGHT_S

HEADERS = (
    *("Content-Type", "Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"),
    "Authorization",
)
"""What pages may send: the shipped client puts the answer's headers on its request (spec 4.1)."""


class Entry:
    """A listener's rules for spawns.

    :ivar face: how the listener presents itself.
    """

    def __init__(self, settings: Hoops, access: Access, face: Face) -> None:
        self._settings, self._access, self.face = settings, access, face

    def caller_of(self, request: Request, ticket: str | None) -> Caller:
        """Say who wants to spawn.

        :param ticket: what stands in the path.
        :raises Refused: ``forbidden``, ``unauthenticated``, or ``bad-request``.
        """
        origin, host = header(request, "Origin"), header(request, "Host")
        if origin is not None and not self.face.admits_origin(origin, host):
            raise Refused(Code.FORBIDDEN, OTHER_ORIGIN)
        caller = self._proven(request, ticket)
        if caller is not None:
            caller.need(Scope.LAUNCH)
            return caller
        if self._settings.access is SpawnAccess.TOKEN:
            raise Refused(Code.UNAUTHENTICATED)
        check_unproven(request, self.face, origin, host)
        if origin is None and self._settings.access is SpawnAccess.ORIGIN:
            raise Refused(Code.UNAUTHENTICATED, "a page of a listed origin, a token or a ticket is needed")
        # Each address is an owner of its own: so the usual caps hold for each.
        return Caller(owner=f"hoops:{address_of(request) or 'local'}")

    def _proven(self, request: Request, ticket: str | None) -> Caller | None:
        token = bearer_of(request)
        if token is not None and ticket is not None:
            raise Refused(Code.BAD_REQUEST, "a token or a ticket is needed, not both")
        if ticket is not None:
            return self._access.by_ticket(ticket)
        return None if token is None else self._access.by_token(token)

    def check_page(self, request: Request) -> None:
        """Let only pages of listed origins pass, and programs where the operator lets anybody spawn.

        :raises Refused: ``forbidden``.
        """
        origin, host = header(request, "Origin"), header(request, "Host")
        if origin is None and self._settings.access is SpawnAccess.OPEN:
            check_unproven(request, self.face, origin, host)
        elif origin is None or not self.face.admits_origin(origin, host):
            raise Refused(Code.FORBIDDEN, OTHER_ORIGIN)

    def headers_for(self, request: Request) -> Mapping[str, str]:
        """Let pages of listed origins read the answer."""
        try:
            origin, host = header(request, "Origin"), header(request, "Host")
        except Refused:
            return {"Vary": "Origin"}
        allowed = {"Access-Control-Allow-Origin": origin} if origin and self.face.admits_origin(origin, host) else {}
        return {"Vary": "Origin", **allowed}


def preflight() -> dict[str, str]:
    """Give what a browser is told that asks before it lets a page call (Fetch standard, CORS preflight)."""
    return {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": ", ".join(HEADERS),
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }


def address_of(request: Request) -> str | None:
    """Give the address that a request came from; ``None`` on a UNIX socket."""
    found: str | None = getattr(request.getClientAddress(), "host", None)
    return found
