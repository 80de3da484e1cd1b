"""``/session/{id}/…``: WebSockets at an address that names the session beside what proves that it may be opened.

A program of kind ``websocket`` has one, ``ws``, opened by token or ticket, and each that comes is a client. Those of a
program of kind ``http`` are made by its pages: they belong to the visit of the browser that shows these, which is a
client already and stays the only one that the broker knows of.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from sessiond.broker import Admission
from sessiond.core.errors import SHAPES, Code, Refused
from sessiond.core.events import Dialled, Event, TunnelClosed
from sessiond.core.session import Session
from sessiond.core.values import End, Kind
from sessiond.log import HIDDEN
from sessiond.ports import Close, TunnelClient
from sessiond.tunnel.client import Tunnel
from sessiond.tunnel.framing import Stream
from sessiond.tunnel.relay import LEFT_BEHIND
from sessiond.web.access import Face
from sessiond.web.answers import Answer, problem
from sessiond.web.bodies import argument
from sessiond.web.entry import CLOSED, Entry
from sessiond.web.forwarding import OF_THE_HOST, Address, confined, request_lines, target_below, target_of_root
from sessiond.web.leaf import Branch
from sessiond.web.proxy import Proxy, Ways
from sessiond.web.visits import Place, Stay, Visit, Visits
from sessiond.web.wire import show_path
from sessiond.ws.channel import Admits, Entrance, Gate
from sessiond.ws.handover import lines_of
from sessiond.ws.handshake import Upgrade
from sessiond.ws.tunnels import Tunnels

SOCKET = (b"ws",)
"""Where below its address a session of kind ``websocket`` is opened."""


class Passage:
    """The :class:`sessiond.web.visits.Guest` that is one WebSocket of a page; its tunnel reports here.

    :ivar open: the program was reached.
    """

    def __init__(self, stay: Stay, tunnel: TunnelClient) -> None:
        self._stay, self._tunnel = stay, tunnel
        self._place: Deferred[None] | None = None
        self._closed = False
        self.open = False

    async def enter(self) -> None:
        """Be let in with the stay, and go to the program as soon as that can be reached.

        :raises Refused: the stay is not admitted.
        """
        self._stay.join(self)
        try:
            await self._stay.entered()
        except BaseException:
            self._part()
            raise
        self._place = self._stay.place().addCallbacks(self._go, self._not_ready)

    def _go(self, place: Place) -> None:
        self._tunnel.dial(place.endpoint, place.retry)

    def _not_ready(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            code = failure.value.code if isinstance(failure.value, Refused) else Code.INTERNAL
            self.cut(Close(SHAPES[code].close, code.value), 0.0)

    def hear(self, event: Event) -> None:
        """Take what the tunnel reports."""
        if isinstance(event, Dialled):
            self.open = True
            self._stay.reached()
        elif isinstance(event, TunnelClosed):
            self._closed = True
            self._hear_closed(event.end)

    def _hear_closed(self, end: End) -> None:
        if end not in (End.ENDPOINT, End.BROKEN):
            self._part()
        elif self.open:
            self.cut(LEFT_BEHIND, 0.0)
        elif self._stay.was_reached:
            self.cut(Close(SHAPES[Code.UNREACHABLE].close, Code.UNREACHABLE.value), 0.0)
        else:
            self._stay.unreached()

    def cut(self, close: Close, flush_s: float) -> None:
        """End the connection."""
        self._tunnel.cut(close.code, close.text, flush_s)
        if self._closed:
            self._part()

    @property
    def active_at(self) -> float:
        """The instant of the last byte from the client (epoch seconds)."""
        return self._tunnel.active_at

    def _part(self) -> None:
        if self._place is not None:
            self._place.cancel()
        self._stay.part(self)


class SessionEntrance:
    """One request for a WebSocket below the address of a session: the gate's entrance, and what it wants beside that.

    Whether there is a session of this id is told to nobody who can't open it.

    :param below: the parts of the path below the session's address.
    """

    def __init__(
        self, broker: Admits, tunnels: Tunnels, entry: Entry, session_id: str, below: tuple[bytes, ...]
    ) -> None:
        self._broker, self._tunnels, self._entry = broker, tunnels, entry
        self._id, self._below = session_id, below
        self._visit: Visit | None = None

    # -- the entrance ------------------------------------------------------------------------------------------------

    async def session(self, request: Request) -> Session:
        """Give the session that is there already."""
        self._entry.check_origin(request)
        self._visit = self._entry.visit(request, self._id)
        session = self._by_secret(request) if self._visit is None else self._visit.session
        if session is None or session.id != self._id:
            raise Refused(Code.FORBIDDEN, CLOSED)
        service = self._broker.service_of(session)
        if self._visit is None and (service is None or service.kind is not Kind.WEBSOCKET or self._below != SOCKET):
            raise Refused(Code.NOT_FOUND)
        return session

    def _by_secret(self, request: Request) -> Session | None:
        token, ticket = argument(request, "token"), argument(request, "ticket")
        if token is not None and ticket is not None:
            raise Refused(Code.BAD_REQUEST, "a token or a ticket is needed, not both")
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
        if self._visit is not None:
            return target_below(request.uri)
        return target_of_root(request.uri)

    # -- what the gate wants of the broker ---------------------------------------------------------------------------

    async def admit(self, session_id: str, client: TunnelClient) -> Admission:
        """Let a client in: by the broker, or with the browser that the broker has let in.

        :raises Refused: not now.
        """
        if self._visit is None or self._visit.session is None:
            return await self._broker.admit(session_id, client)
        stay, session = self._visit.stay(), self._visit.session
        passage = Passage(stay, client)
        await passage.enter()
        return Admission(session, stay.number, passage.hear)

    # -- and of what makes tunnels -----------------------------------------------------------------------------------

    def new(self, session: Session) -> Tunnel:
        """Make a tunnel; that of a page carries the connection itself.

        :raises Refused: ``shutting-down``.
        """
        return self._tunnels.new(session, None if self._visit is None else Stream.WHOLE)

    def open(self, tunnel: Tunnel, request: Request, upgrade: Upgrade, entrance: Entrance) -> None:
        """Join the client to its tunnel; a page's program sees of the request what it sees of every other."""
        if self._visit is None:
            self._tunnels.open(tunnel, request, upgrade, entrance)
            return
        address = self._entry.address(request, self._id)
        tunnel.retold = lambda head: retold(head, address)
        self._tunnels.pass_through(tunnel, request, self._head(request, address), entrance)

    def _head(self, request: Request, address: Address) -> bytes:
        peer = getattr(request.getClientAddress(), "host", None)
        lines = request_lines(lines_of(request), address, peer, proof=self._entry.proves(request))
        ours = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
        first = b"GET " + self.target(request) + b" HTTP/1.1"
        return b"\r\n".join((first, *(name + b": " + value for name, value in (*lines, *ours)), b"", b""))


def retold(head: bytes, address: Address) -> bytes:
    """Give the head of a program's 101 as the client gets it: what would bind the whole host is left out."""
    first, *lines = head.split(b"\r\n")
    kept = [first]
    for line in lines:
        name, _, value = line.partition(b":")
        key = name.strip().lower()
        if key == b"set-cookie":
            cookie = confined(value.strip(), address)
            kept += [name + b": " + cookie] if cookie else []
        elif key not in OF_THE_HOST:
            kept.append(line)
    return b"\r\n".join(kept)


def asks_for_socket(request: Request) -> bool:
    """Say whether a request is for a WebSocket; any other upgrade may be passed over (RFC 9110 section 7.8)."""
    return b"websocket" in b",".join(request.requestHeaders.getRawHeaders(b"Upgrade", [])).lower()


class SessionPages(Branch):
    """``/session``: every session at an address of its own, whether it is there or not."""

    def __init__(self, broker: Any, tunnels: Tunnels, visits: Visits, ways: Ways, face: Face) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._broker, self._tunnels, self._ways = broker, tunnels, ways
        self._entry = Entry(broker, visits, face)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Give what answers below one session's address."""
        session_id = path.decode("utf-8", "replace")
        try:
            self._broker.session(session_id)
        except Refused:
            show_path(request, b"/session/" + HIDDEN.encode())  # it may be a secret in the wrong place
        if not asks_for_socket(request):
            return Proxy(self._entry, self._ways, session_id)
        below = tuple(request.postpath or ())
        entrance = SessionEntrance(self._broker, self._tunnels, self._entry, session_id, below)
        return Gate(entrance, entrance, entrance, self._ways.clock)


class Pages:
    """The addresses of sessions, for all listeners: a browser that has come by one is known at the others."""

    def __init__(self, broker: Any, tunnels: Tunnels, visits: Visits, ways: Ways) -> None:
        self._broker, self._tunnels, self._visits, self._ways = broker, tunnels, visits, ways

    def resource(self, face: Face) -> IResource:
        """Give what answers ``/session`` on a listener that presents itself so."""
        return SessionPages(self._broker, self._tunnels, self._visits, self._ways, face)
