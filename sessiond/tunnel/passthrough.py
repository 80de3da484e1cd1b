"""Passing a whole connection through: the request for an upgrade, the answer to it, and then byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import protocol
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from sessiond.ports import Clock, Close, EndpointEar, EndpointSide
from sessiond.tunnel.endpoint import Nobody
from sessiond.tunnel.outlet import write_now
from sessiond.tunnel.relay import ClientEar

HEAD_BYTES = 16 * 1024
"""The longest answer head that is waited for."""
ANSWER_S = 5.0
"""How long it is waited for: the program listens already, and has only to say yes or no."""
END = b"\r\n\r\n"
PASSED = frozenset({b"host", b"user-agent", b"origin", b"accept-language", b"upgrade"})
PASSED_PREFIX, SPELLED = b"sec-websocket-", b"Sec-WebSocket-"
"""What of a request goes on to the program: nothing that proves who a client is, or that a proxy has put there."""


def request_head(target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write the head of the request that a program gets instead of the client's own.

    :param target: path and query, without the session's token.
    :param headers: of the client's request, names in any case.
    """
    lines = [b"GET " + target + b" HTTP/1.1"]
    for name, value in headers:
        low = name.lower()
        if low.startswith(PASSED_PREFIX):
            # As every browser writes it: not every program reads names in any case.
            lines.append(SPELLED + low[len(PASSED_PREFIX) :].title() + b": " + value)
        elif low in PASSED:
            lines.append(name + b": " + value)
    return b"\r\n".join((*lines, b"Connection: Upgrade", b"", b""))


@implementer(IHalfCloseableProtocol)
class RawSocket(protocol.Protocol):
    """The :class:`sessiond.tunnel.relay.ClientSide` of a client whose request is answered by the program.

    Its frames are none of our business, so it is never pinged: that it lives is for TCP to find out. And it can't be
    told why it is closed, unless that happens before the program's answer: then it gets one of ours.

    :param head: of the request for the program.
    :param unanswered: writes that answer.
    :param lost: is told of the connection's end, for whoever looked after it before.
    """

    hears_words = False

    def __init__(
        self,
        head: bytes,
        unanswered: Callable[[Close], bytes],
        lost: Callable[[Failure], object] = lambda reason: None,
    ) -> None:
        self._head, self._unanswered, self._lost = head, unanswered, lost
        self._ear: ClientEar | None = None
        self._answered = self._closing = self._ended = False

    @property
    def _transport(self) -> Any:
        # Pauses, takes a producer and aborts, as Twisted's connections do; no one interface says so.
        return self.transport

    # -- what the relay wants ----------------------------------------------------------------------------------------

    def attach(self, ear: ClientEar, producer: IPushProducer) -> None:
        """Begin to tell what comes; the request is the first of it."""
        self._ear = ear
        self._transport.registerProducer(producer, True)
        ear.client_heard()
        ear.client_sent(self._head)

    def send(self, payload: bytes) -> None:
        """Send as it is; what comes first is the program's answer."""
        self._answered = True
        if not self._closing:
            write_now(self.transport, payload)

    def ping(self) -> None:
        """Take it for answered."""
        if self._ear is not None:
            self._ear.client_heard()

    def close(self, close: Close) -> None:
        """Close behind what was sent; without an answer yet, answer."""
        if self._closing:
            return
        self._closing = True
        if not self._answered:
            self._transport.write(self._unanswered(close))
        # Twisted's TLS does not even begin to shut down while a producer is registered.
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def pause(self) -> None:
        """Read nothing until ``resume``."""
        self._transport.pauseProducing()

    def resume(self) -> None:
        """Read again; once the end was read there is nothing more to read."""
        if not self._ended:
            self._transport.resumeProducing()

    def abort(self) -> None:
        """Let go now."""
        self._transport.abortConnection()

    # -- what comes --------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Pass it on."""
        if self._ear is not None:
            self._ear.client_heard()
            self._ear.client_sent(data)

    def readConnectionLost(self) -> None:
        """It sends no more; the program may still have something for it."""
        self._ended = True
        if self._ear is not None and not self._closing:
            self._ear.client_ended()

    def writeConnectionLost(self) -> None:
        """Not asked for."""

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Its connection is gone."""
        ear, self._ear = self._ear, None
        self._lost(reason)
        if ear is not None:
            ear.client_gone()


class UpgradingEndpoint:
    """An endpoint whose answer to the request must be 101; after that it is the endpoint that it stands for.

    :param retold: gives the answer's head as the client gets it.
    """

    def __init__(
        self, inner: EndpointSide, clock: Clock, retold: Callable[[bytes], bytes] = lambda head: head
    ) -> None:
        self._inner, self._clock, self._retold = inner, clock, retold
        self._timer: IDelayedCall | None = None
        self._ear: EndpointEar = Nobody()
        self._head = b""
        self._open = self._broken = False

    # -- what a relay wants ------------------------------------------------------------------------------------------

    def attach(self, ear: EndpointEar, producer: IPushProducer) -> None:
        """Begin to read."""
        self._ear = ear
        self._timer = self._clock.call_later(ANSWER_S, self.endpoint_broke, "the application did not answer in time")
        self._inner.attach(self, producer)

    def write(self, data: bytes) -> None:
        """Send, or hold until it can be sent."""
        self._inner.write(data)

    def pause(self) -> None:
        """Read nothing until ``resume``."""
        self._inner.pause()

    def resume(self) -> None:
        """Read again."""
        self._inner.resume()

    def unread_bytes(self) -> int:
        """Say how much has arrived and was not read yet."""
        return self._inner.unread_bytes()

    def half_close(self) -> None:
        """Deliver what was written, and say that no more comes."""
        self._inner.half_close()

    def finish(self, limit_s: float) -> None:
        """Deliver what was written, and let go."""
        self._inner.finish(limit_s)

    def abort(self) -> None:
        """Let go now."""
        self._inner.abort()

    # -- what the connection tells -----------------------------------------------------------------------------------

    def endpoint_sent(self, data: bytes) -> None:
        """Pass it on; the answer first, whole, if it is the right one."""
        if self._open:
            self._ear.endpoint_sent(data)
        elif not self._broken:
            self._take_head(data)

    def _take_head(self, data: bytes) -> None:
        self._head += data
        head, end, rest = self._head.partition(END)
        if len(head) > HEAD_BYTES:
            self.endpoint_broke("the application's answer has too long a head")
        elif end and head.split(b"\r\n")[0].split(b" ")[:2] != [b"HTTP/1.1", b"101"]:
            self.endpoint_broke("the application did not take the connection")
        elif end:
            self._open = True
            self._stop_timer()
            self._head = b""
            self._ear.endpoint_sent(self._retold(head) + END + rest)

    def endpoint_ended(self) -> None:
        """It will send no more, maybe not even an answer."""
        if self._open or self._broken:
            self._ear.endpoint_ended()
        else:
            self.endpoint_broke("the application closed without an answer")

    def endpoint_broke(self, text: str) -> None:
        """It is of no use."""
        self._broken, self._head = True, b""
        self._stop_timer()
        self._ear.endpoint_broke(text)

    def endpoint_gone(self) -> None:
        """The connection is gone."""
        self._stop_timer()
        self._ear.endpoint_gone()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

