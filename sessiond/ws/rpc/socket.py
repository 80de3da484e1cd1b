"""The WebSocket below a link: messages of both kinds, each told with its kind, and what a link writes as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from sessiond.ports import Clock, Close
from sessiond.tunnel.frames import FrameReader, Opcode, Received, Unmask
from sessiond.tunnel.outlet import write_now
from sessiond.tunnel.socket import FrameSocket
from sessiond.ws.rpc.endpoint import Endpoint
from sessiond.ws.rpc.link import Link

PING_S = 30.0
CLOSE_S = 5.0


class LinkReader(FrameReader):
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


@implementer(IHalfCloseableProtocol, IPushProducer)
class LinkSocket(FrameSocket):
    """The :class:`sessiond.ws.rpc.link.Socket` of one client, and its own :class:`ClientEar`."""

    def __init__(
        self, endpoint: Endpoint, unmask: Unmask, clock: Clock, lost: Callable[[Failure], object], request: object
    ) -> None:
        self._messages = LinkReader(unmask)
        super().__init__(self._messages, lost)
        self._endpoint, self._clock, self._request = endpoint, clock, request
        self._heard = True
        self._timer: IDelayedCall | None = None
        self._link: Link | None = None

    def begin(self) -> None:
        """Take what comes, now that the connection is ours."""
        link = self._link = self._endpoint.open(self, self._request)
        self._messages.tell = lambda message, is_text: link.received(message, is_text=is_text)
        self.attach(self, self)
        self._timer = self._clock.call_later(PING_S, self._ping)

    # -- what a link wants -------------------------------------------------------------------------------------------

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
        if self._link is not None:
            self._link.end(close.code, close.text)

    def client_closed(self, close: Close) -> None:
        """It has said that it closes, and was answered."""

    def client_ended(self) -> None:
        """It sends no more: a client that can't call needs no answers."""
        self._hang_up()

    def client_gone(self) -> None:
        """Its connection is gone."""
        self._set_timer(None)
        if self._link is not None:
            self._link.gone()

    # -- whether it takes bytes --------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """It takes none."""
        if self._link is not None:
            self._link.refuses()

    def resumeProducing(self) -> None:
        """It takes some."""
        if self._link is not None:
            self._link.takes()

    def stopProducing(self) -> None:
        """Its connection is gone."""

    def _ping(self) -> None:
        """Ask whether it lives, and drop it if it has said nothing for half of that time."""
        if self._link is not None:
            self._link.look()
        if self._closing:
            return
        self._heard = False
        self.ping()
        self._set_timer(PING_S / 2, self._judge)

    def _judge(self) -> None:
        if self._heard:
            self._set_timer(PING_S / 2, self._ping)
        elif self._link is not None:
            self._link.end(1001, "no answer to a ping")
            self.abort()

    def _set_timer(self, delay_s: float | None, call: Callable[[], None] = lambda: None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if delay_s is None else self._clock.call_later(delay_s, call)
