"""The endpoint's side of a tunnel: how it is dialled, and the connection that comes of it."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet import protocol
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    connectProtocol,
)
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from sessiond.core.values import Endpoint, Stdio, Unix
from sessiond.ports import Clock, EndpointEar, RelayLimits
from sessiond.tunnel.outlet import write_now
from sessiond.tunnel.tcp import USUAL, tune

DIAL_S = 10.0
"""How long one attempt may take; a program on this machine answers at once, or refuses at once."""
PATH_BYTES = 107
"""What fits into a ``sockaddr_un`` of Linux beside the NUL at its end (unix(7))."""
FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.05, 1.0, 1.5


P = TypeVar("P", bound=protocol.Protocol)


class Unreachable(Exception):
    """The endpoint could not be connected to."""


class Nobody:
    """Hears nothing: stands in until a relay attaches."""

    def endpoint_sent(self, data: bytes) -> None:
        """Drop it."""

    def endpoint_ended(self) -> None:
        """Take no note."""

    def endpoint_broke(self, text: str) -> None:
        """Take no note."""

    def endpoint_gone(self) -> None:
        """Take no note."""


@implementer(IHalfCloseableProtocol)
class EndpointConnection(protocol.Protocol):
    """The :class:`sessiond.ports.EndpointSide` over a TCP or UNIX connection.

    A program's port can be taken again at once only if the side that closes first is ours, or if we answer its end
    with a reset (PITFALLS "Ports"): so both directions are closed one by one, and the last word is an abort. Only a
    program that has ended its direction with something still to read is given a proper end.
    """

    def __init__(self, clock: Clock, limits: RelayLimits = USUAL) -> None:
        self._clock, self._limits = clock, limits
        self._ear: EndpointEar = Nobody()
        self._ended = self._finishing = self._half_closing = self._half_closed = self._gone = False
        self._owes = False
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Hold still until a relay attaches."""
        tune(self._transport, self._limits)
        self.pause()

    @property
    def _transport(self) -> Any:
        # Half-closes, aborts and takes a producer, as Twisted's TCP and UNIX connections do; no one interface says so.
        return self.transport

    # -- what a relay wants ------------------------------------------------------------------------------------------

    def attach(self, ear: EndpointEar, producer: IPushProducer) -> None:
        """Begin to read; where the connection is lost already, the ear hears that at once."""
        self._ear = ear
        if self._gone:
            ear.endpoint_gone()
        else:
            self._transport.registerProducer(producer, True)
            self.resume()

    def write(self, data: bytes) -> None:
        """Send, or hold until it can be sent."""
        self._owes = self._ended
        write_now(self._transport, data)

    def pause(self) -> None:
        """Read nothing until ``resume``."""
        self._transport.pauseProducing()

    def resume(self) -> None:
        """Read again; once the end was read there is nothing more to read."""
        if not self._ended and not self._gone:
            self._transport.resumeProducing()

    def unread_bytes(self) -> int:
        """Ask the kernel how much waits to be read; 0 where there is no kernel to ask."""
        return 0 if self._ended else self._ask(termios.FIONREAD)

    def _ask(self, question: int) -> int:
        handle = getattr(self._transport, "getHandle", None)
        if handle is None or self._gone:
            return 0
        answer = fcntl.ioctl(handle().fileno(), question, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])

    def _has_unsent(self) -> bool:
        """Say whether something is on its way that an abort would throw away."""
        waits = getattr(self._transport, "dataBuffer", b"") or getattr(self._transport, "_tempDataBuffer", ())
        return bool(waits) or self._ask(termios.TIOCOUTQ) > 0

    def half_close(self) -> None:
        """Close our direction once all that was written is with the kernel."""
        if not self._half_closing and not self._gone:
            self._half_closing = True
            self._transport.unregisterProducer()
            self._transport.loseWriteConnection()
        self.resume()

    def finish(self, limit_s: float) -> None:
        """Deliver what was written and close our direction; once both are closed, or after ``limit_s``, abort."""
        if self._finishing or self._gone:
            return
        self._finishing = True
        if self._ended and not self._owes:
            self.abort()
            return
        self._timer = self._clock.call_later(limit_s, self.abort)
        self.half_close()
        if self._half_closed:
            self.writeConnectionLost()

    def abort(self) -> None:
        """Let go now."""
        self._finishing = True
        if not self._gone:
            self._transport.abortConnection()

    # -- what Twisted tells ------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Pass on what came."""
        self._ear.endpoint_sent(data)

    def readConnectionLost(self) -> None:
        """The endpoint will send no more."""
        self._ended = True
        self._owes = self._has_unsent()
        if self._finishing:
            self._close()
        else:
            self._ear.endpoint_ended()

    def writeConnectionLost(self) -> None:
        """All is with the kernel; the endpoint's own end is waited for."""
        self._half_closed = True
        if self._ended and self._finishing:
            self._close()

    def _close(self) -> None:
        """Both have said all: reset the connection, or have the kernel deliver what the program has not read."""
        if not self._owes:
            self.abort()
        elif self._half_closed:
            self._transport.loseConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Both directions are gone."""
        self._gone = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._ear.endpoint_gone()


async def dial(
    reactor: object, clock: Clock, endpoint: Endpoint, retry: bool, limits: RelayLimits = USUAL
) -> EndpointConnection:
    """Connect to an endpoint, for a relay; otherwise as :func:`reach`."""
    return await reach(reactor, clock, endpoint, retry, lambda: EndpointConnection(clock, limits))


async def reach(reactor: object, clock: Clock, endpoint: Endpoint, retry: bool, make: Callable[[], P]) -> P:
    """Connect a protocol to an endpoint.

    :param reactor: connects (``IReactorTCP``, ``IReactorUNIX``, for host names ``IReactorPluggableNameResolver``).
    :param retry: whether to go on until it succeeds; cancelling the Deferred ends it.
    :param make: makes the protocol, anew for each attempt.
    :raises Unreachable: nobody listens, and it is not tried again.
    """
    target, pause_s = _client_endpoint(reactor, endpoint), FIRST_PAUSE_S
    while True:
        try:
            return await _reach_once(target, make())
        except (Unreachable, ConnectError, DNSLookupError, OSError) as error:
            if not retry:
                raise Unreachable(str(error)) from error
        await _sleep(clock, pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * GROWTH)


async def _reach_once(target: IStreamClientEndpoint, connection: P) -> P:
    await connectProtocol(target, connection)
    transport: Any = connection.transport
    if _is_its_own_peer(transport):
        transport.abortConnection()
        raise Unreachable("connected to itself")
    return connection


def _is_its_own_peer(transport: Any) -> bool:
    """Say whether a dial connected to itself.

    Where nobody listens on a port of the ephemeral range, the kernel may give a dial that very port.
    """
    peer = transport.getPeer()
    return bool(transport.getHost() == peer) and isinstance(peer, IPv4Address | IPv6Address)


def _client_endpoint(reactor: object, endpoint: Endpoint) -> IStreamClientEndpoint:
    if isinstance(endpoint, Stdio):
        raise Unreachable("the program's standard input and output can't be dialled")
    if isinstance(endpoint, Unix):
        if len(os.fsencode(endpoint.path)) > PATH_BYTES:
            # Twisted 26.10 trips over the system's own error for this, and the dial would hang until its limit.
            raise Unreachable("the path of the socket is too long")
        return UNIXClientEndpoint(reactor, endpoint.path, timeout=DIAL_S)
    if isIPAddress(endpoint.host):
        return TCP4ClientEndpoint(reactor, endpoint.host, endpoint.port, timeout=DIAL_S)
    if isIPv6Address(endpoint.host):
        return TCP6ClientEndpoint(reactor, endpoint.host, endpoint.port, timeout=DIAL_S)
    return HostnameEndpoint(reactor, endpoint.host, endpoint.port, timeout=DIAL_S)


def _sleep(clock: Clock, delay_s: float) -> Deferred[None]:
    timer: IDelayedCall
    slept: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = clock.call_later(delay_s, slept.callback, None)
    return slept
