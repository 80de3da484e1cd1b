"""WebSockets that the daemon itself talks over: messages of both kinds come, and what is written goes as it is.

Links of RPC and clients of the feed are such.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from sessiond.core.errors import Code, Refused
from sessiond.ports import Clock, Close, RelayLimits
from sessiond.tunnel.frames import FrameReader, Opcode, Received, Unmask
from sessiond.tunnel.outlet import write_now
from sessiond.tunnel.socket import FrameSocket
from sessiond.tunnel.tcp import tune
from sessiond.web.answers import problem, send
from sessiond.ws.handover import put_in_place, unmask
from sessiond.ws.handshake import feed, read_upgrade, switch
from sessiond.ws.socket import TunnelSocket, tunnel_factory

Meet = Callable[[Any, Any], "Talker"]

PING_S = 30.0
CLOSE_S = 5.0

log = Logger()


class TalkReader(FrameReader):
    """Reads what a client sends message by message, of either kind.

    :ivar tell: is called with each message and whether it is text; ``receive`` gives no payload.
    """

    def __init__(self, unmask: Unmask) -> None:
        super().__init__(unmask, 0, text=True)
        self._gathered: list[bytes] = []
        self._is_text = False
        self.tell: Callable[[bytes, bool], None] = lambda message, is_text: None

    def allow(self, message_bytes: int) -> None:
        """Take messages up to this size."""
        self._message_bytes = message_bytes

    def receive(self, data: bytes) -> Received:
        """Take the next bytes, however they were cut."""
        received = super().receive(data)
        if not received.payload:
            return received
        self._gathered.append(received.payload)
        return Received(b"", received.controls, received.error)

    def _take_small(self, data: bytes, at: int, end: int) -> int:
        return at

    def _begin_data(self, first: int, opcode: int, length: int) -> None:
        if opcode != Opcode.CONTINUATION:
            self._is_text = opcode == Opcode.TEXT
        super()._begin_data(first, opcode, length)

    def _end_frame(self) -> None:
        super()._end_frame()
        if self._final:
            self._unmask_small()
            message = b"".join((*self._gathered, *self._done))
            self._done.clear()
            self._gathered.clear()
            self.tell(message, self._is_text)


class Talker(Protocol):
    """Who talks with one client."""

    def received(self, payload: bytes, *, is_text: bool) -> None:
        """Take one message."""

    def refuses(self) -> None:
        """The client takes no bytes now."""

    def takes(self) -> None:
        """The client takes bytes again."""

    def look(self) -> None:
        """A while has passed."""

    def end(self, code: int, reason: str) -> None:
        """Close the connection, since something is wrong with it."""

    def gone(self) -> None:
        """The connection is gone."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class TalkSocket(FrameSocket):
    """The WebSocket of one client, and its own :class:`ClientEar`.

    :param meet: gives who talks with the client, by its socket and by what was kept of its request.
    """

    def __init__(
        self, meet: Meet, unmask: Unmask, clock: Clock, lost: Callable[[Failure], object], request: object
    ) -> None:
        self._messages = TalkReader(unmask)
        super().__init__(self._messages, lost)
        self._meet, self._clock, self._request = meet, clock, request
        self._heard = True
        self._timer: IDelayedCall | None = None
        self._talker: Talker | None = None

    def begin(self) -> None:
        """Take what comes, now that the connection is ours."""
        talker = self._talker = self._meet(self, self._request)
        self._messages.tell = lambda message, is_text: talker.received(message, is_text=is_text)
        self.attach(self, self)
        self._timer = self._clock.call_later(PING_S, self._ping)

    # -- what a talker wants -------------------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Send what was written: whole messages, their heads included."""
        if not self._closing:
            write_now(self.transport, payload)

    def close(self, code: Any, reason: str = "") -> None:
        """Close behind what was sent; a client that does not answer is dropped."""
        if not self._closing:
            super().close(code if isinstance(code, Close) else Close(code, reason))
            self._set_timer(CLOSE_S, self.abort)

    def allow(self, message_bytes: int) -> None:
        """Take messages up to this size."""
        self._messages.allow(message_bytes)

    # -- what comes --------------------------------------------------------------------------------------------------

    def client_heard(self) -> None:
        """It lives."""
        self._heard = True

    def client_sent(self, payload: bytes) -> None:
        """Not told: messages are, by the reader."""

    def client_failed(self, close: Close) -> None:
        """It broke the protocol of WebSockets."""
        if self._talker is not None:
            self._talker.end(close.code, close.text)

    def client_closed(self, close: Close) -> None:
        """It has said that it closes, and was answered."""

    def client_ended(self) -> None:
        """It sends no more: a client that can't call needs no answers."""
        self._hang_up()

    def client_gone(self) -> None:
        """Its connection is gone."""
        self._set_timer(None)
        if self._talker is not None:
            self._talker.gone()

    # -- whether it takes bytes --------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """It takes none."""
        if self._talker is not None:
            self._talker.refuses()

    def resumeProducing(self) -> None:
        """It takes some."""
        if self._talker is not None:
            self._talker.takes()

    def stopProducing(self) -> None:
        """Its connection is gone."""

    def _ping(self) -> None:
        """Ask whether it lives, and drop it if it has said nothing for half of that time."""
        if self._talker is not None:
            self._talker.look()
        if self._closing:
            return
        self._heard = False
        self.ping()
        self._set_timer(PING_S / 2, self._judge)

    def _judge(self) -> None:
        if self._heard:
            self._set_timer(PING_S / 2, self._ping)
        elif self._talker is not None:
            self._talker.end(1001, "no answer to a ping")
            self.abort()

    def _set_timer(self, delay_s: float | None, call: Callable[[], None] = lambda: None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if delay_s is None else self._clock.call_later(delay_s, call)


class TalkResource(Resource):
    """The address of such WebSockets: lets a client in, or says why not.

    :param meet: gives who talks with a client.
    :param check: raises :class:`Refused` for a request of a page that may not call; what it gives is kept with the
        client, or the request itself.
    """

    isLeaf = True

    def __init__(
        self, meet: Meet, reactor: IReactorTime, clock: Clock, check: Callable[[Request], object]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._meet, self._clock, self._check = meet, clock, check
        self._limits = RelayLimits()
        self._factory = tunnel_factory(self._limits, reactor)

    def render(self, request: Request) -> int:
        """Open it once the segment that the request came in is read: only then is every byte in order."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        opening: Deferred[None] = Deferred()
        opening.addCallback(lambda _: None if gone else self._open(request))
        opening.addErrback(self._turn_away, request, gone)
        opening.addErrback(lambda failure: log.failure("a client was neither let in nor turned away", failure))
        self._clock.call_later(0, opening.callback, None)
        return NOT_DONE_YET

    def _open(self, request: Request) -> None:
        upgrade = read_upgrade(request)
        kept = self._check(request)
        shaking = TunnelSocket()
        switch(request, upgrade, shaking, self._factory)
        tune(shaking.transport, self._limits)
        channel, shaking.channel = shaking.channel, None
        socket = TalkSocket(self._meet, unmask, self._clock, channel.connectionLost, kept or request)
        put_in_place(shaking.transport, socket)
        socket.begin()
        feed(request, socket)

    def _turn_away(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        refused = failure.value
        if not isinstance(refused, Refused):
            log.failure("a client could not be let in", failure)
            refused = Refused(Code.INTERNAL)
        if not gone and not request.startedWriting:
            send(request, problem(refused))
