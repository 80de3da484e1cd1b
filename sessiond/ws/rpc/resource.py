"""The address of an endpoint: it lets pages of allowed origins in, and programs, and says why not."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.core.errors import Code, Refused
from sessiond.ports import Clock, RelayLimits
from sessiond.tunnel.tcp import tune
from sessiond.web.answers import problem, send
from sessiond.ws.handover import put_in_place, unmask
from sessiond.ws.handshake import feed, read_upgrade, switch
from sessiond.ws.rpc.endpoint import Endpoint
from sessiond.ws.rpc.socket import LinkSocket
from sessiond.ws.socket import TunnelSocket, tunnel_factory

log = Logger()


class LinkResource(Resource):
    """Lets a client in, or says why not.

    :param check: raises :class:`Refused` for a request of a page that may not call; what it gives is kept with the
        link, or the request itself.
    """

    isLeaf = True

    def __init__(
        self, endpoint: Endpoint, reactor: IReactorTime, clock: Clock, check: Callable[[Request], object]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._endpoint, self._clock, self._check = endpoint, clock, check
        self._limits = RelayLimits()
        self._factory = tunnel_factory(self._limits, reactor)

    def render(self, request: Request) -> int:
        """Open it once the segment that the request came in is read: only then is every byte in order."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        opening: Deferred[None] = Deferred()
        opening.addCallback(lambda _: None if gone else self._open(request))
        opening.addErrback(self._turn_away, request, gone)
        opening.addErrback(lambda failure: log.failure("a link was neither let in nor turned away", failure))
        self._clock.call_later(0, opening.callback, None)
        return NOT_DONE_YET

    def _open(self, request: Request) -> None:
        upgrade = read_upgrade(request)
        kept = self._check(request)
        shaking = TunnelSocket()
        switch(request, upgrade, shaking, self._factory)
        tune(shaking.transport, self._limits)
        channel, shaking.channel = shaking.channel, None
        socket = LinkSocket(self._endpoint, unmask, self._clock, channel.connectionLost, kept or request)
        put_in_place(shaking.transport, socket)
        socket.begin()
        feed(request, socket)

    def _turn_away(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        refused = failure.value
        if not isinstance(refused, Refused):
            log.failure("a link could not be opened", failure)
            refused = Refused(Code.INTERNAL)
        if not gone and not request.startedWriting:
            send(request, problem(refused))
