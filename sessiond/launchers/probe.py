"""Asking a program over HTTP whether it serves yet. Only where its operator says so: a probe is a client too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as NoneInTime
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from sessiond.core.values import Endpoint, Tcp, Unix

AGAIN_S = 0.05
ANSWER_S = 2.0
STATUS_LINE_BYTES = 4096
NO_ANSWER = 599
"""Counts as a status of a server that does not serve yet."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r\n]")


class _StatusLine(Protocol):
    """Sends a request and reads no more than the status, so that no answer is too large.

    :ivar status: fires with the number once.
    """

    def __init__(self, request: bytes) -> None:
        self.status: Deferred[int] = Deferred()
        self._request = request
        self._received = b""

    def connectionMade(self) -> None:
        if self.transport is not None:
            self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        found = _STATUS_LINE.match(self._received)
        if found is not None or len(self._received) > STATUS_LINE_BYTES:
            self._answer(int(found[1]) if found is not None else NO_ANSWER)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._answer(NO_ANSWER)

    def hang_up(self) -> None:
        """Close at once, unread answer or not."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def _answer(self, status: int) -> None:
        if not self.status.called:
            self.status.callback(status)


class HttpProbe:
    """Asks again and again until a status below 500 comes, or until it is stopped.

    :param reactor: connects, and waits.
    :param may_connect: says whether the endpoint's socket is the program's right now; else nothing is connected.
    :param served: called once.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: Tcp | Unix,
        path: str,
        may_connect: Callable[[], bool],
        served: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._endpoint = _client_of(reactor, endpoint)
        self._request = request_for(endpoint, path)
        self._may_connect = may_connect
        self._asking = Deferred.fromCoroutine(self._ask())
        self._asking.addCallbacks(lambda _: served(), _cancelled)

    def stop(self) -> None:
        """Ask no more; ``served`` is not called any more."""
        self._asking.cancel()

    async def _ask(self) -> None:
        await deferLater(self._reactor, 0)
        while not self._may_connect() or await self._status() >= 500:
            await deferLater(self._reactor, AGAIN_S)

    async def _status(self) -> int:
        line = _StatusLine(self._request)
        try:
            await connectProtocol(self._endpoint, line)  # the endpoint has a limit of its own
            return await line.status.addTimeout(ANSWER_S, self._reactor)
        except (ConnectError, NoneInTime):
            return NO_ANSWER
        finally:
            line.hang_up()


def request_for(endpoint: Endpoint, path: str) -> bytes:
    """Write the request (RFC 9112, section 3): one page, and the connection closed behind it."""
    host = f"{endpoint.host}:{endpoint.port}" if isinstance(endpoint, Tcp) else "localhost"
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "User-Agent: sessiond", "Accept: */*", "Connection: close")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def _client_of(reactor: Any, endpoint: Tcp | Unix) -> IStreamClientEndpoint:
    if isinstance(endpoint, Tcp):
        return TCP4ClientEndpoint(reactor, endpoint.host, endpoint.port, timeout=ANSWER_S)
    return UNIXClientEndpoint(reactor, endpoint.path, timeout=ANSWER_S)


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError, ConnectingCancelledError)
