"""One admitted client, from before its admission to the end of both of its connections."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond.core.events import Dialled, Event, TunnelClosed
from sessiond.core.values import End, Endpoint, Stdio
from sessiond.ports import Clock, Close, Counters, EndpointSide, Observer, Relayed, RelayLimits, Streams, Tell
from sessiond.tunnel.endpoint import Unreachable, dial
from sessiond.tunnel.framing import Carried, Rules, Stream
from sessiond.tunnel.passthrough import UpgradingEndpoint
from sessiond.tunnel.relay import LEFT_BEHIND
from sessiond.tunnel.stdio import StdioEndpoint
from sessiond.tunnel.tcp import USUAL

UNCUT_S = 10.0
"""How long a client whose endpoint has ended is kept for the word that names the reason; it comes within a second."""

log = Logger()


@frozen
class _Cut:
    close: Close
    flush_s: float


class Tunnel:
    """The :class:`sessiond.ports.TunnelClient` of one client, and the listener of its relay.

    Made first, since the broker wants it in order to admit; then ``admitted`` and ``opened``, or ``dropped`` where the
    client never came that far. What the broker does to it in between is done as soon as that is possible.

    :param reactor: dials.
    :param done: is called once, when nothing of it is left.
    :param streams: gives the standard input and output of the session's program, where these are its endpoint.
    :ivar carries: how.
    :ivar retold: gives the head of a program's own answer as its client gets it.
    :ivar in_words: gives what its client is told in place of the usual code and text, for wires with their own.
    :ivar session_id: empty until the session is known, where the handshake comes first.
    """

    def __init__(
        self,
        session_id: str,
        reactor: object,
        clock: Clock,
        done: Callable[[Tunnel], None],
        limits: RelayLimits = USUAL,
        streams: Callable[[], Streams | None] = lambda: None,
        carries: Carried = Stream.BYTES,
    ) -> None:
        self.carries = carries
        self.observer: Observer | None = None
        self.retold: Callable[[bytes], bytes] = lambda head: head
        self.in_words: Callable[[Close], Close] = lambda close: close
        self._streams = streams
        self.session_id = session_id
        self.number = 0
        self.limits = limits
        self._reactor, self._clock, self._done = reactor, clock, done
        self._tell: Tell | None = None
        self._untold: list[Callable[[], Event]] = []
        self._relay: Relayed | None = None
        self._endpoint: EndpointSide | None = None
        self._dialling: Deferred[None] | None = None
        self._cut: _Cut | None = None
        self._uncut: IDelayedCall | None = None
        self._closed_by: End | None = None

    @property
    def counters(self) -> Counters:
        """What it has carried."""
        return Counters() if self._relay is None else self._relay.counters

    @property
    def active_at(self) -> float:
        """The instant of the last byte from the client (epoch seconds); 0.0 before any."""
        return self.counters.up_at

    # -- the way in --------------------------------------------------------------------------------------------------

    def admitted(self, number: int, tell: Tell) -> None:
        """Take the number that it has from now on, and tell what has happened already."""
        self.number, self._tell = number, tell
        untold, self._untold = self._untold, []
        for make in untold:
            tell(make())

    def opened(self, relay: Relayed) -> None:
        """The client's WebSocket is open."""
        self._relay = relay
        if self._cut is not None:
            relay.cut(self._cut.close, self._cut.flush_s)
        elif self._closed_by is not None:
            self._await_cut()
        elif self._endpoint is not None:
            self._join(self._endpoint)

    def dropped(self) -> None:
        """The client went, or was turned away, before its WebSocket was open."""
        self._say_closed(End.CLIENT, "gone before it was let in")
        self._let_go_of_endpoint()
        self._done(self)

    # -- what the broker wants ---------------------------------------------------------------------------------------

    def dial(self, endpoint: Endpoint, retry: bool) -> None:
        """Connect to the endpoint, then join the client to it."""
        if self._dialling is not None or self._closed_by is not None or self._cut is not None:
            return
        self._dialling = Deferred.fromCoroutine(self._dial(endpoint, retry))
        self._dialling.addErrback(_unless_cancelled)

    async def _dial(self, endpoint: Endpoint, retry: bool) -> None:
        try:
            found = await self._reach(endpoint, retry)
        except Unreachable as error:
            log.info("{id}: tunnel {number}: not reached: {error}", id=self.session_id, number=self.number, error=error)
            self._say_closed(End.ENDPOINT, "unreachable")
            self._await_cut()
            return
        if self._relay is None:
            self._endpoint = found
        else:
            self._join(found)

    async def _reach(self, endpoint: Endpoint, retry: bool) -> EndpointSide:
        """Connect to the endpoint, which may be the program's own input and output.

        :raises Unreachable: it can't be.
        """
        if not isinstance(endpoint, Stdio):
            found = await dial(self._reactor, self._clock, endpoint, retry, self.limits)
            return UpgradingEndpoint(found, self._clock, self.retold) if self.carries is Stream.WHOLE else found
        streams = self._streams()
        if streams is None or streams.stuck:
            # One that reads nothing would be given more by each client that comes.
            raise Unreachable("the program has no standard input and output, or does not read it")
        return StdioEndpoint(streams, self._clock, self.carries if isinstance(self.carries, Rules) else None)

    def _join(self, endpoint: EndpointSide) -> None:
        self._endpoint = None
        if self._relay is not None:
            self._say(lambda: Dialled(self.number))
            self._relay.join(endpoint)

    def cut(self, close_code: int, text: str, flush_s: float) -> None:
        """End it, once the client has what the endpoint has sent."""
        if self._cut is not None:
            return
        self._cut = _Cut(self.worded(Close(close_code, text)), flush_s)
        self._let_go_of_endpoint()
        if self._relay is not None:
            self._relay.cut(self._cut.close, flush_s)

    def worded(self, close: Close) -> Close:
        """Give what its client is told in place of the usual; a client that is not admitted may get other words yet."""
        return self.in_words(close)

    def _let_go_of_endpoint(self) -> None:
        """Stop dialling, and drop what was dialled for a client that is not there."""
        if self._dialling is not None:
            self._dialling.cancel()
        if self._endpoint is not None:
            self._endpoint.abort()
            self._endpoint = None

    # -- what the relay reports --------------------------------------------------------------------------------------

    def closed(self, end: End, detail: str) -> None:
        """One end closed."""
        if end not in (End.ENDPOINT, End.BROKEN):
            self._let_go_of_endpoint()
        self._say_closed(end, detail)
        if end is End.ENDPOINT:
            self._await_cut()

    def over(self, close: Close) -> None:
        """Both ends are gone."""
        if self._uncut is not None and self._uncut.active():
            self._uncut.cancel()
        log.info(
            "{id}: tunnel {number} closed by {end}: {code} {text}, {up} bytes up, {down} down",
            id=self.session_id,
            number=self.number,
            end="nobody" if self._closed_by is None else self._closed_by.value,
            code=close.code,
            text=close.text or "-",
            up=self.counters.up_bytes,
            down=self.counters.down_bytes,
        )
        self._done(self)

    def _await_cut(self) -> None:
        """See that a client which nobody cuts does not stay for ever."""
        if self._relay is not None and self._cut is None and self._uncut is None:
            self._uncut = self._clock.call_later(UNCUT_S, self._relay.cut, LEFT_BEHIND, 0.0)

    def _say_closed(self, end: End, detail: str) -> None:
        if self._closed_by is None:
            self._closed_by = end
            self._say(lambda: TunnelClosed(self.number, end, detail))

    def _say(self, make: Callable[[], Event]) -> None:
        if self._tell is None:
            self._untold.append(make)
        else:
            self._tell(make())


def _unless_cancelled(failure: Failure) -> None:
    if failure.check(CancelledError, ConnectingCancelledError) is None:
        log.failure("a dial failed", failure)
