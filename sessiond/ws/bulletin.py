"""WebSockets on which one text is told anew whenever it changes: lists that clients show, without a session.

To the relay such a text is an endpoint like any other, so a listener is pinged, judged and closed as a tunnel's client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.core.errors import SHAPES, Code, Refused
from sessiond.core.services import Framing
from sessiond.core.values import End
from sessiond.ports import Clock, Close, EndpointEar, RelayLimits
from sessiond.tunnel.endpoint import Nobody
from sessiond.tunnel.framing import Rules
from sessiond.tunnel.relay import ByteRelay
from sessiond.tunnel.tcp import tune
from sessiond.web.answers import Answer, send
from sessiond.ws.handover import take_over
from sessiond.ws.handshake import feed, read_upgrade, switch
from sessiond.ws.messages import MessageTunnelSocket
from sessiond.ws.socket import tunnel_factory

LISTENER_BYTES = 4096
"""The longest message that is taken from a listener, and passed over."""

Text = Callable[[], bytes]
"""Gives what is to be told now."""

log = Logger()


class Notices(Protocol):
    """A dialect, as far as what it tells is concerned."""

    def turn_away(self, request: Request, refused: Refused) -> Answer:
        """Answer what is no WebSocket, or must not become one."""

    def tells(self, request: Request) -> Text:
        """Give what tells a listener, in the words of its own request.

        :raises Refused: it is not let in.
        """


class Bulletin:
    """One text, and those who listen."""

    def __init__(self) -> None:
        self._listening: set[_Posting] = set()

    def __len__(self) -> int:
        return len(self._listening)

    def post(self) -> None:
        """Tell the text anew. A listener that takes no bytes gets the newest once it does, and none before it."""
        for posting in tuple(self._listening):
            posting.post()

    def add(self, posting: _Posting) -> None:
        """Tell one more."""
        self._listening.add(posting)

    def drop(self, posting: _Posting) -> None:
        """Tell one less."""
        self._listening.discard(posting)


class _Posting:
    """The :class:`sessiond.ports.EndpointSide` of one listener: sends texts, and reads nothing."""

    def __init__(self, bulletin: Bulletin, text: Text, clock: Clock) -> None:
        self._bulletin, self._text, self._clock = bulletin, text, clock
        self._ear: EndpointEar = Nobody()
        self._is_paused = self._is_stale = self._is_gone = False

    def attach(self, ear: EndpointEar, producer: IPushProducer) -> None:
        """Begin to tell."""
        self._ear = ear
        self._bulletin.add(self)
        self.post()

    def post(self) -> None:
        """Tell it now, or once bytes are taken."""
        self._is_stale = self._is_paused
        if not self._is_paused and not self._is_gone:
            self._ear.endpoint_sent(self._text())

    def write(self, data: bytes) -> None:
        """Pass over what the listener says."""

    def pause(self) -> None:
        """Tell nothing until ``resume``."""
        self._is_paused = True

    def resume(self) -> None:
        """Tell again, what was missed first."""
        self._is_paused = False
        if self._is_stale:
            self.post()

    def unread_bytes(self) -> int:
        """Nothing waits to be read."""
        return 0

    def half_close(self) -> None:
        """A listener that says no more may listen on."""

    def finish(self, limit_s: float) -> None:
        """Let go."""
        self.abort()

    def abort(self) -> None:
        """Let go now."""
        if not self._is_gone:
            self._is_gone = True
            self._bulletin.drop(self)
            # Not at once: whoever lets go is in the midst of something.
            self._clock.call_later(0, self._ear.endpoint_gone)


class _Listener:
    """The :class:`sessiond.ports.RelayListener` of one listener's relay."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done

    def closed(self, end: End, detail: str) -> None:
        """Take no note: no session is concerned."""

    def over(self, close: Close) -> None:
        """Nothing is left."""
        self._done()


class Bulletins:
    """Opens the WebSockets of all bulletins, and closes them.

    :param limits: of a listener's connection; ``message_bytes`` counts for nothing, since listeners have little to say.
    """

    def __init__(self, limits: RelayLimits, reactor: IReactorTime, clock: Clock) -> None:
        self._limits, self._clock = limits, clock
        self._rules = Rules(Framing.LENGTH, text=True, message_bytes=LISTENER_BYTES)
        self._factory = tunnel_factory(limits, reactor)
        self._relays: set[ByteRelay] = set()
        self._is_closing = False

    def resource(self, bulletin: Bulletin, notices: Notices) -> BulletinResource:
        """Give what lets listeners in."""
        return BulletinResource(self, bulletin, notices, self._clock)

    def open(self, request: Request, bulletin: Bulletin, text: Text) -> None:
        """Answer 101, and tell the text from now on.

        :raises Refused: the request is no upgrade, or the daemon stops.
        """
        upgrade = read_upgrade(request)
        if self._is_closing:
            raise Refused(Code.SHUTTING_DOWN)
        shaking = MessageTunnelSocket(self._rules)
        switch(request, upgrade, shaking, self._factory)
        tune(shaking.transport, self._limits)
        socket = take_over(shaking, self._limits, self._rules)
        relay = ByteRelay(socket, self._limits, self._clock, _Listener(lambda: self._relays.discard(relay)))
        self._relays.add(relay)
        relay.join(_Posting(bulletin, text, self._clock))
        feed(request, socket)

    def close(self) -> None:
        """Let nobody in any more, and end those who are there; that takes no longer than the limit ``close_s``."""
        self._is_closing = True
        for relay in tuple(self._relays):
            relay.cut(Close(SHAPES[Code.SHUTTING_DOWN].close, Code.SHUTTING_DOWN.value), 0.0)


class BulletinResource(Resource):
    """Lets a listener in, or says why not."""

    isLeaf = True

    def __init__(self, bulletins: Bulletins, bulletin: Bulletin, notices: Notices, clock: Clock) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bulletins, self._bulletin, self._notices, self._clock = bulletins, bulletin, notices, clock

    def render(self, request: Request) -> int:
        """Open it once the segment that the request came in is read: only then is every byte in order."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        opening: Deferred[None] = Deferred()
        opening.addCallback(lambda _: None if gone else self._open(request))
        opening.addErrback(self._turn_away, request, gone)
        opening.addErrback(lambda failure: log.failure("a listener was neither let in nor turned away", failure))
        self._clock.call_later(0, opening.callback, None)
        return NOT_DONE_YET

    def _open(self, request: Request) -> None:
        self._bulletins.open(request, self._bulletin, self._notices.tells(request))

    def _turn_away(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        refused = failure.value
        if not isinstance(refused, Refused):
            log.failure("a listener could not be let in", failure)
            refused = Refused(Code.INTERNAL)
        if not gone and not request.startedWriting:
            send(request, self._notices.turn_away(request, refused))
