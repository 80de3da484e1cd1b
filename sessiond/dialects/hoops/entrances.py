"""Where viewers come in: a connection that spawns its own program, and paths that name a program's port."""

from __future__ import annotations

from twisted.web.server import Request

from sessiond.config import PortGuard
from sessiond.core.errors import Code, Refused
from sessiond.core.session import Session
from sessiond.core.values import State
from sessiond.dialects.hoops.entry import Entry, address_of
from sessiond.dialects.hoops.front import Front
from sessiond.dialects.hoops.orders import Order, rendering_of
from sessiond.dialects.hoops.spawning import broker_failure
from sessiond.dialects.hoops.words import status_of
from sessiond.web.answers import Answer
from sessiond.web.bodies import argument
from sessiond.web.forwarding import target_of_root


class Refusing:
    """What the dialect's entrances have in common: the words for those that are refused."""

    def refusal(self, request: Request, refused: Refused) -> Answer:
        """Answer as a failed spawn is answered; a WebSocket's client never reads it, but people do."""
        return broker_failure(refused, status_of(refused))


class Direct(Refusing):
    """``/?renderingLocation=csr|ssr``: held until the program is ready (spec 4.4).

    :param ticket: what stands in the path.
    """

    def __init__(self, front: Front, entry: Entry, ticket: str | None = None) -> None:
        self._front, self._entry, self._ticket = front, entry, ticket

    async def session(self, request: Request) -> Session:
        """Make the session of this connection."""
        caller = self._entry.caller_of(request, self._ticket)
        order = Order(rendering_of(argument(request, "renderingLocation")))
        spawned = await self._front.spawn(order, caller, address_of(request))
        return spawned.session

    def target(self, request: Request) -> bytes:
        """Give the program its own root, and the query of the client."""
        return target_of_root(request.uri)


class ByPort(Refusing):
    """``/wsproxy/PORT``, by which deployed pages reach what they were told to reach directly (spec 6).

    Ports can be guessed, so only pages of listed origins come in, and only from the address that asked for the spawn.
    """

    def __init__(self, front: Front, entry: Entry, port: str) -> None:
        self._front, self._entry, self._port = front, entry, port

    async def session(self, request: Request) -> Session:
        """Give the session whose program has the port."""
        self._entry.check_page(request)
        known = self._port.isascii() and self._port.isdigit() and len(self._port) <= 5
        session = self._front.by_port(int(self._port)) if known else None
        if session is None:
            raise Refused(Code.UNKNOWN_SESSION)
        address = address_of(request)
        guarded = self._front.settings.port_guard is PortGuard.ADDRESS
        if guarded and address is not None and address != self._front.address_of(session):
            raise Refused(Code.FORBIDDEN, "this address has not asked for this viewer")
        if session.state not in (State.READY, State.CONNECTED):
            raise Refused(Code.NOT_ACCEPTING, "the program is not ready yet")
        return session

    def target(self, request: Request) -> bytes:
        """Give the program its own root."""
        return b"/"
