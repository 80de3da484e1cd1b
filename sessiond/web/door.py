"""What one listener lets in: how many connections, from one address and in all, and how soon each must have asked.

Twisted's idle timer begins anew with every byte, so a client that sends one now and then would hold its place for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request

from sessiond.log import HIDDEN
from sessiond.web.wire import WebChannel, WebSite

HEADERS_S = 10.0
"""How long a client may take from its connection (the TLS handshake included), or from the first byte of a later
request, until the headers are there."""

TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
WARN_S = 10.0
"""How often the log says that connections are turned away: who floods the daemon must not flood the log too."""

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
"""What the log shows as a method; a client may send any word for one."""
SHOWN = re.compile(r"[A-Za-z0-9._~@+,-]{1,23}|[a-z0-9._-]{1,39}|\*", re.ASCII)
"""What the log shows of a path, part by part: names of files and sessions. Not shown is what could be a secret in the
wrong place: long words of mixed letters, and what is written with escapes, behind which anything may stand."""

log = Logger()


@frozen
class Door:
    """The most connections that may be open, from one address and in all."""

    connections: int = 4096
    per_address: int = 4096


class DoorChannel(WebChannel):
    """A connection that has asked within a time, or is closed."""

    forget: Callable[[HTTPChannel], None] | None = None
    _asking: IDelayedCall | None = None
    _idle = False

    def connectionMade(self) -> None:
        """Begin the time of the first request."""
        super().connectionMade()
        self._ask()

    def dataReceived(self, data: bytes) -> None:
        """Begin the time of a later request with its first byte."""
        if self._idle:
            self._ask()
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        """Take note that it has asked."""
        self._asked()
        super().allHeadersReceived()

    def requestDone(self, request: Request) -> None:
        """Take note that the connection waits for a request, of which the beginning may be there already."""
        self._idle = True
        if self._dataBuffer:
            self._ask()
        super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End all that waits on the connection."""
        self._asked()
        if self.forget is not None:
            self.forget(self)
        super().connectionLost(reason)

    def _ask(self) -> None:
        self._asked()
        self._idle = False
        self._asking = self.callLater(HEADERS_S, self._too_late)

    def _asked(self) -> None:
        if self._asking is not None and self._asking.active():
            self._asking.cancel()
        self._asking = None

    def _too_late(self) -> None:
        self._asking = None
        self.transport.write(TOO_LATE)
        self.timeoutConnection()


class Crowd:
    """The connections that are open, those among them that became WebSockets."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._of: dict[str, set[HTTPChannel]] = {}
        self._count = 0

    def admits(self, address: str) -> bool:
        """Say whether one more may come from an address."""
        return self._count < self._door.connections and len(self._of.get(address, ())) < self._door.per_address

    def add(self, address: str, channel: HTTPChannel) -> None:
        """Count a connection."""
        self._of.setdefault(address, set()).add(channel)
        self._count += 1

    def drop(self, address: str, channel: HTTPChannel) -> None:
        """Count a connection no more."""
        channels = self._of.get(address, set())
        if channel in channels:
            channels.remove(channel)
            self._count -= 1
        if not channels:
            self._of.pop(address, None)


class DoorSite(WebSite):
    """The resource tree of one listener, behind its door."""

    protocol = DoorChannel

    def __init__(
        self,
        root: IResource,
        reactor: IReactorTime,
        door: Door,
        answered: Callable[[int], object] = lambda status: None,
    ) -> None:
        super().__init__(root, reactor, answered)
        self._crowd = Crowd(door)
        self._turned_away = 0
        self._warned_at: float | None = None

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Let a connection in; ``None`` closes it at once."""
        address = str(getattr(addr, "host", ""))
        if not self._crowd.admits(address):
            self._warn(address)
            return None
        channel = super().buildProtocol(addr)
        channel.forget = lambda gone: self._crowd.drop(address, gone)
        self._crowd.add(address, channel)
        return channel

    def log(self, request: http.Request) -> None:
        """Note an answer, without the query of its URL, where tokens stand."""
        super().log(request)
        log.info(
            "{peer} {method} {path} {status} {sent}",
            peer=getattr(request.getClientAddress(), "host", "-"),
            method=_text(request.method) if request.method in METHODS else HIDDEN,
            path=shown_path(_text(request.uri)),
            status=request.code,
            sent=request.sentLength,
        )

    def _warn(self, address: str) -> None:
        self._turned_away += 1
        now = self.reactor.seconds()
        if self._warned_at is None or not 0 <= now - self._warned_at < WARN_S:
            log.warn(
                "too many connections, {count} turned away, the last from {address}",
                count=self._turned_away,
                address=address,
            )
            self._warned_at, self._turned_away = now, 0


def shown_path(uri: str) -> str:
    """Give the path of a request's target as far as the log may show it."""
    parts = uri.partition("?")[0].split("/")
    return "/".join(part if not part or SHOWN.fullmatch(part) else HIDDEN for part in parts)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
