"""All tunnels of the daemon: where they are made, counted and closed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from sessiond.core.errors import SHAPES, Code, Refused
from sessiond.core.session import Session
from sessiond.ports import Clock, Observer, RelayLimits, Streams
from sessiond.tunnel.client import Tunnel
from sessiond.tunnel.framing import Carried, Rules, Stream, carried
from sessiond.tunnel.passthrough import RawSocket, request_head
from sessiond.tunnel.relay import ByteRelay
from sessiond.tunnel.socket import FrameSocket
from sessiond.tunnel.tcp import tune
from sessiond.web.access import Face
from sessiond.web.wire import WebSite
from sessiond.ws.channel import Admits, CheckOrigin, Entrance, Gate, TunnelEntrance
from sessiond.ws.greeting import Greeting, GreetingResource, Host
from sessiond.ws.handover import lines_of, seize, take_over
from sessiond.ws.handshake import Upgrade, feed, switch
from sessiond.ws.messages import MessageTunnelSocket, TextTunnelSocket
from sessiond.ws.socket import TunnelSocket, tunnel_factory


@frozen
class Meters:
    """What the tunnels come to.

    :ivar open: clients that are admitted and not gone yet.
    :ivar up_bytes: carried from clients to endpoints since the daemon's start; ``down_bytes`` the other way.
    """

    open: int
    up_bytes: int
    down_bytes: int


class Tunnels:
    """Makes tunnels, knows those that are there, and closes them.

    :param check_origin: ``Access.check_origin``.
    :param by_autobahn: have Autobahn read and write the frames, as a reference to compare with.
    :param observe: gives what is to see the traffic of a session's tunnels, if anything.
    :param reactor: dials endpoints, and keeps the time of the HTTP channels.
    """

    def __init__(
        self,
        broker: Admits,
        check_origin: CheckOrigin,
        limits: RelayLimits,
        reactor: IReactorTime,
        clock: Clock,
        *,
        by_autobahn: bool = False,
        observe: Callable[[Session], Observer | None] = lambda session: None,
    ) -> None:
        self._observe = observe
        self._broker, self._check_origin, self._limits = broker, check_origin, limits
        self._reactor, self._clock, self._by_autobahn = reactor, clock, by_autobahn
        self._factory = tunnel_factory(limits, reactor)
        self._there: set[Tunnel] = set()
        self._past_up_bytes = self._past_down_bytes = 0
        self._closed: Deferred[None] | None = None

    def resource(self, face: Face) -> IResource:
        """Give what answers ``/tunnel`` on a port that serves other things too."""
        return self.entrance(TunnelEntrance(self._broker, self._check_origin, face))

    def entrance(self, entrance: Entrance) -> Resource:
        """Give what answers at an entrance: the way into a tunnel that any address can have."""
        return Gate(entrance, self._broker, self, self._clock)

    def greeting(self, host: Host, limits: RelayLimits) -> IResource:
        """Give what greets the clients of a dialect, and admits them then.

        :param limits: those of that wire.
        """
        return GreetingResource(host, self._broker, self, limits, self._clock)

    def site(self, face: Face) -> Site:
        """Give what answers on a port that serves tunnels only, whatever path is asked for."""
        return WebSite(self.resource(face), self._reactor)

    def meters(self) -> Meters:
        """Count."""
        counters = [tunnel.counters for tunnel in self._there]
        return Meters(
            len(self._there),
            self._past_up_bytes + sum(counter.up_bytes for counter in counters),
            self._past_down_bytes + sum(counter.down_bytes for counter in counters),
        )

    def close(self) -> Deferred[None]:
        """Admit nobody any more and end what is there; fires when nothing is left, within the limit ``close_s``."""
        if self._closed is None:
            self._closed = Deferred()
            for tunnel in tuple(self._there):
                tunnel.cut(SHAPES[Code.SHUTTING_DOWN].close, Code.SHUTTING_DOWN.value, 0.0)
            self._look_whether_empty()
        waiter: Deferred[None] = Deferred()
        self._closed.addCallback(lambda _: waiter.callback(None))
        return waiter

    # -- what the gate in front of them wants -------------------------------------------------------------------------

    def new(self, session: Session, carries: Carried | None = None) -> Tunnel:
        """Make a tunnel for a client that is about to be admitted.

        :param carries: how, where that is not as the service says.
        :raises Refused: ``shutting-down``.
        """
        if self._closed is not None:
            raise Refused(Code.SHUTTING_DOWN)
        service, streams = self._broker.service_of(session), partial(self._broker.streams, session.id)
        tunnel = Tunnel(
            session.id,
            self._reactor,
            self._clock,
            self._forget,
            self._limits,
            streams,
            carries or carried(service, self._limits.message_bytes),
        )
        tunnel.observer = self._observe(session)
        self._there.add(tunnel)
        return tunnel

    def open(self, tunnel: Tunnel, request: Request, upgrade: Upgrade, entrance: Entrance) -> None:
        """Answer 101, unless the program does so itself, and join the client to its tunnel."""
        if tunnel.carries is Stream.WHOLE:
            head = request_head(entrance.target(request), lines_of(request))
            self.pass_through(tunnel, request, head, entrance)
            return
        self._join(tunnel, request, lambda: self._shake_hands(tunnel, request, upgrade))

    def pass_through(self, tunnel: Tunnel, request: Request, head: bytes, entrance: Entrance) -> None:
        """Have the program answer, and join the client to its tunnel.

        :param head: of the request that it gets.
        """
        self._join(tunnel, request, lambda: seize(request, self._limits, head, partial(entrance.refusal, request)))

    def _join(
        self, tunnel: Tunnel, request: Request, make: Callable[[], TunnelSocket | FrameSocket | RawSocket]
    ) -> None:
        try:
            socket = make()
            relay = ByteRelay(socket, self._limits, self._clock, tunnel, tunnel.observer)
        except BaseException:
            tunnel.dropped()
            raise
        tunnel.opened(relay)
        feed(request, socket)

    # -- and the resource that greets them first --------------------------------------------------------------------

    def greet(self, request: Request, upgrade: Upgrade, greeting: Greeting) -> Tunnel:
        """Answer 101, and give a tunnel of a session that is not known yet. One that comes too late is closed."""
        carries = carried(greeting.service, greeting.limits.message_bytes)
        limits = greeting.limits
        tunnel = Tunnel("", self._reactor, self._clock, self._forget, limits, lambda: self._streams_of(tunnel), carries)
        socket = self._shake_hands(tunnel, request, upgrade)
        relay = ByteRelay(socket, limits, self._clock, tunnel, greeting.observer, tunnel.worded)
        self._there.add(tunnel)
        tunnel.opened(relay)
        if self._closed is not None:
            tunnel.cut(SHAPES[Code.SHUTTING_DOWN].close, Code.SHUTTING_DOWN.value, 0.0)
        feed(request, socket)
        return tunnel

    def _streams_of(self, tunnel: Tunnel) -> Streams | None:
        return self._broker.streams(tunnel.session_id)

    def _shake_hands(self, tunnel: Tunnel, request: Request, upgrade: Upgrade) -> TunnelSocket | FrameSocket:
        shaking = _shaking(tunnel.carries)
        switch(request, upgrade, shaking, self._factory)
        tune(shaking.transport, tunnel.limits)
        return shaking if self._by_autobahn else take_over(shaking, tunnel.limits, tunnel.carries)

    def _forget(self, tunnel: Tunnel) -> None:
        if tunnel in self._there:
            self._there.remove(tunnel)
            self._past_up_bytes += tunnel.counters.up_bytes
            self._past_down_bytes += tunnel.counters.down_bytes
            self._look_whether_empty()

    def _look_whether_empty(self) -> None:
        if self._closed is not None and not self._there and not self._closed.called:
            self._closed.callback(None)


def _shaking(carries: Carried) -> TunnelSocket:
    """Make the socket that shakes hands, and goes on as the reference."""
    if isinstance(carries, Rules):
        return MessageTunnelSocket(carries)
    return TextTunnelSocket() if carries is Stream.TEXT else TunnelSocket()
