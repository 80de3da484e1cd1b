"""The gate: who may come in over a WebSocket, at which entrance, and how those are turned away who may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.broker import Admission
from sessiond.core.errors import Code, Refused
from sessiond.core.services import Service
from sessiond.core.session import Session
from sessiond.ports import Clock, Streams, TunnelClient
from sessiond.web.access import Face
from sessiond.web.answers import Answer, problem, send
from sessiond.web.bodies import argument, header
from sessiond.web.forwarding import without_secrets
from sessiond.ws.handshake import Upgrade, read_upgrade

if TYPE_CHECKING:
    from sessiond.tunnel.client import Tunnel

CheckOrigin = Callable[[str | None, str | None, Face], None]
"""Takes the Origin and Host headers of a request and the face it came to; raises :class:`Refused`."""

EARLY_BYTES = 64 * 1024
"""How much a client may send while it is not known yet which session it gets."""

log = Logger()


class Entrance(Protocol):
    """One address at which clients come in: it names their session, and has words of its own for those it refuses."""

    async def session(self, request: Request) -> Session:
        """Give the session that a client gets; where a connection makes its session, make it and wait for it.

        The request asks for a WebSocket, and that is all that was looked at: whether this page may call is to be
        asked first. It is cancelled when the client hangs up, or sends more than it may meanwhile.

        :raises Refused: it gets none.
        """

    def refusal(self, request: Request, refused: Refused) -> Answer:
        """Answer a client that is not let in, or whose program did not take its connection."""

    def target(self, request: Request) -> bytes:
        """Give the target, path and query, of the request that the program gets, where it answers that itself."""


class LetsIn(Protocol):
    """What the gate wants of the broker, or of who stands in for it."""

    async def admit(self, session_id: str, client: TunnelClient) -> Admission:
        """Let a client in."""


class Admits(LetsIn, Protocol):
    """What a tunnel wants of the broker."""

    def by_token(self, token: str) -> Session:
        """Give the session that a token opens.

        :raises Refused: it opens none; so does ``by_ticket``.
        """

    def by_ticket(self, ticket: str) -> Session:
        """Give the session that a ticket opens, and use the ticket up."""

    def service_of(self, session: Session) -> Service | None:
        """Give a session's service as its program was started, or as it is offered now."""

    def streams(self, session_id: str) -> Streams | None:
        """Give the standard input and output of a session's program, where these are its endpoint."""


class Opener(Protocol):
    """What makes tunnels, as the gate in front of them sees it."""

    def new(self, session: Session) -> Tunnel:
        """Make a tunnel for a client that is about to be admitted.

        :raises Refused: ``shutting-down``.
        """

    def open(self, tunnel: Tunnel, request: Request, upgrade: Upgrade, entrance: Entrance) -> None:
        """Answer 101, unless the program does so itself, and join the client to its tunnel."""


class TunnelEntrance:
    """``/tunnel``: a token or a ticket names the session.

    The order is: may this page call; does it name a session; does the token or ticket open one. A ticket is used up
    by the question whether it opens a session, whatever is answered after that: who sent it may be anybody who has
    seen it.
    """

    def __init__(self, broker: Admits, check_origin: CheckOrigin, face: Face) -> None:
        self._broker, self._check_origin, self._face = broker, check_origin, face

    async def session(self, request: Request) -> Session:
        """Give the session that is there already."""
        self._check_origin(header(request, "Origin"), header(request, "Host"), self._face)
        token, ticket = argument(request, "token"), argument(request, "ticket")
        if token is not None and ticket is not None:
            raise Refused(Code.BAD_REQUEST, "a token or a ticket is needed, not both")
        if ticket:
            return self._broker.by_ticket(ticket)
        if token:
            return self._broker.by_token(token)
        raise Refused(Code.NO_SESSION_NAMED)

    def refusal(self, request: Request, refused: Refused) -> Answer:
        """Answer with a problem document."""
        return problem(refused)

    def target(self, request: Request) -> bytes:
        """Give the path as it came, and the query without what let the client in."""
        return without_secrets(request.uri)


class Gate(Resource):
    """Lets clients in at one entrance, before Autobahn sees anything, so that every refusal is plain HTTP.

    The order is: is it an upgrade; which session does the entrance give; has that a place. The place is taken before
    anything is dialled. A client whose session is not there yet is read meanwhile, so that one which hangs up is
    noticed at once.
    """

    isLeaf = True

    def __init__(self, entrance: Entrance, broker: LetsIn, opener: Opener, clock: Clock) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._entrance, self._broker, self._opener, self._clock = entrance, broker, opener, clock

    def render(self, request: Request) -> int:
        """Let the client in, or say why not."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        entering = Deferred.fromCoroutine(self._enter(request, gone))
        entering.addErrback(self._refuse, request, gone)
        entering.addErrback(lambda failure: log.failure("a client was neither let in nor turned away", failure))
        return NOT_DONE_YET

    async def _enter(self, request: Request, gone: list[Failure]) -> None:
        # The channel is still in the midst of the segment that the request came in. Only once it has put the rest
        # aside can the connection be taken from it with every byte in order.
        turned: Deferred[None] = Deferred()
        self._clock.call_later(0, turned.callback, None)
        await turned
        upgrade = read_upgrade(request)
        if gone:
            return
        session = await self._session_of(request, gone)
        tunnel = self._opener.new(session)
        try:
            admission = await self._broker.admit(session.id, tunnel)
        except BaseException:
            tunnel.dropped()
            raise
        tunnel.admitted(admission.number, admission.tell)
        if gone:
            tunnel.dropped()
        else:
            self._opener.open(tunnel, request, upgrade, self._entrance)

    async def _session_of(self, request: Request, gone: list[Failure]) -> Session:
        """Ask the entrance, for as long as the client waits and sends no more than it may."""
        finding = Deferred.fromCoroutine(self._entrance.session(request))
        request.notifyFinish().addErrback(lambda _: finding.cancel())
        channel: Any = request.channel
        channel.hold(EARLY_BYTES, finding.cancel)
        try:
            return await finding
        except CancelledError:
            if gone:
                raise
            raise Refused(Code.BAD_REQUEST, "too much was sent before the connection was open") from None
        finally:
            channel.release()

    def _refuse(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        refused = failure.value
        if not isinstance(refused, Refused):
            if not gone or failure.check(CancelledError) is None:
                log.failure("a client could not be let in", failure)
            refused = Refused(Code.INTERNAL)
        if not gone and not request.startedWriting:
            send(request, self._entrance.refusal(request, refused))
