"""``/tunnel``: who may come in over a WebSocket, and how those are turned away who may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import Deferred
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
from sessiond.web.answers import problem, send
from sessiond.web.bodies import argument, header
from sessiond.ws.handshake import Upgrade, read_upgrade

if TYPE_CHECKING:
    from sessiond.tunnel.client import Tunnel

CheckOrigin = Callable[[str | None, str | None, Face], None]
"""Takes the Origin and Host headers of a request and the face it came to; raises :class:`Refused`."""

log = Logger()


class Admits(Protocol):
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

    async def admit(self, session_id: str, client: TunnelClient) -> Admission:
        """Let a client in."""


class Gate(Protocol):
    """What makes tunnels, as the resource in front of them sees it."""

    def new(self, session: Session) -> Tunnel:
        """Make a tunnel for a client that is about to be admitted.

        :raises Refused: ``shutting-down``.
        """

    def open(self, tunnel: Tunnel, request: Request, upgrade: Upgrade) -> None:
        """Answer 101, and join the client to its tunnel."""


class TunnelResource(Resource):
    """Decides before Autobahn sees anything, so that every refusal is plain HTTP with a problem document.

    The order is: is it an upgrade; may this page call; does it name a session; does the token or ticket open
    one; has the session a place. The place is taken before anything is dialled. A ticket is used up by the question
    whether it opens a session, whatever is answered after that: who sent it may be anybody who has seen it.
    """

    isLeaf = True

    def __init__(self, broker: Admits, check_origin: CheckOrigin, face: Face, gate: Gate, clock: Clock) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._broker, self._check_origin, self._face = broker, check_origin, face
        self._gate, self._clock = gate, clock

    def render(self, request: Request) -> int:
        """Let the client in, or say why not."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        entering = Deferred.fromCoroutine(self._enter(request, gone))
        entering.addErrback(_refuse, request, gone)
        entering.addErrback(lambda failure: log.failure("a client was neither let in nor turned away", failure))
        return NOT_DONE_YET

    async def _enter(self, request: Request, gone: list[Failure]) -> None:
        # The channel is still in the midst of the segment that the request came in. Only once it has put the rest
        # aside can the connection be taken from it with every byte in order.
        turned: Deferred[None] = Deferred()
        self._clock.call_later(0, turned.callback, None)
        await turned
        upgrade = read_upgrade(request)
        self._check_origin(header(request, "Origin"), header(request, "Host"), self._face)
        session = self._session_of(request)
        tunnel = self._gate.new(session)
        try:
            admission = await self._broker.admit(session.id, tunnel)
        except BaseException:
            tunnel.dropped()
            raise
        tunnel.admitted(admission.number, admission.tell)
        if gone:
            tunnel.dropped()
        else:
            self._gate.open(tunnel, request, upgrade)

    def _session_of(self, request: Request) -> Session:
        token, ticket = argument(request, "token"), argument(request, "ticket")
        if token is not None and ticket is not None:
            raise Refused(Code.BAD_REQUEST, "a token or a ticket is needed, not both")
        if ticket:
            return self._broker.by_ticket(ticket)
        if token:
            return self._broker.by_token(token)
        raise Refused(Code.NO_SESSION_NAMED)


def _refuse(failure: Failure, request: Request, gone: list[Failure]) -> None:
    refused = failure.value
    if not isinstance(refused, Refused):
        log.failure("a client could not be let in", failure)
        refused = Refused(Code.INTERNAL)
    if not gone and not request.startedWriting:
        send(request, problem(refused))
