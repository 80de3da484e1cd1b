"""What one listener lets in: how many connections, from one address and in all.

A connection counts from the moment it is accepted, its TLS handshake included, to its end, also as a WebSocket.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv6Network, ip_address
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource

from sessiond.config import Patience
from sessiond.log import HIDDEN
from sessiond.web.wire import WebChannel, WebSite

WARN_S = 10.0
"""How often the log says that connections are turned away: who floods the daemon must not flood the log too."""

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
"""What the log shows as a method; a client may send any word for one."""
SHOWN = re.compile(r"[A-Za-z0-9._~@+,-]{1,23}|[a-z0-9._-]{1,39}|\*", re.ASCII)
"""What the log shows of a path, part by part: names of files and sessions. Not shown is what could be a secret in the
wrong place: long words of mixed letters, and what is written with escapes, behind which anything may stand."""
NETWORK_BITS = 64
"""What one subscriber of IPv6 is given at least: with an address for each connection nobody could be told apart."""

log = Logger()


@frozen
class Door:
    """The most connections that may be open, from one address and in all."""

    connections: int = 4096
    per_address: int = 4096


class DoorChannel(WebChannel):
    """A connection that is counted to its end."""

    forget: Callable[[HTTPChannel], None] | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count it no more."""
        if self.forget is not None:
            self.forget(self)
        super().connectionLost(reason)


class TurnedAway(Protocol):
    """A connection that is closed at once.

    A factory may say ``None`` instead, but below TLS Twisted then leaves the connection open for ever.
    """

    def connectionMade(self) -> None:
        """Close it."""
        if self.transport is not None:
            self.transport.loseConnection()


class Crowd:
    """The connections that are open, those among them that became WebSockets."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._of: dict[str | None, set[HTTPChannel]] = {}
        self._count = 0

    def why_not(self, source: str | None) -> str | None:
        """Say which limit keeps out one more from a source; ``None`` if none does."""
        if self._count >= self._door.connections:
            return "max_connections"
        if source is not None and len(self._of.get(source, ())) >= self._door.per_address:
            return "max_per_address"
        return None

    def add(self, source: str | None, channel: HTTPChannel) -> None:
        """Count a connection."""
        self._of.setdefault(source, set()).add(channel)
        self._count += 1

    def drop(self, source: str | None, channel: HTTPChannel) -> None:
        """Count a connection no more."""
        channels = self._of.get(source, set())
        if channel in channels:
            channels.remove(channel)
            self._count -= 1
        if not channels:
            self._of.pop(source, None)


def source_of(address: IAddress | None) -> str | None:
    """Give what connections are told apart by: an IPv4 address, an IPv6 network; ``None`` on a UNIX socket."""
    host: str | None = getattr(address, "host", None)
    if host is None or ":" not in host:
        return host
    number = ip_address(host.partition("%")[0])
    mapped = getattr(number, "ipv4_mapped", None)
    return str(IPv6Network((int(number), NETWORK_BITS), strict=False)) if mapped is None else str(mapped)


class DoorSite(WebSite):
    """The resource tree of one listener, behind its door."""

    protocol = DoorChannel

    def __init__(
        self,
        root: IResource,
        reactor: IReactorTime,
        door: Door,
        answered: Callable[[int], object] = lambda status: None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(root, reactor, answered, patience=patience)
        self._crowd = Crowd(door)
        self._turned_away = 0
        self._warned_at: float | None = None

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Let a connection in, or turn it away."""
        source = source_of(addr)
        why_not = self._crowd.why_not(source)
        if why_not is not None:
            self._warn(source, why_not)
            return TurnedAway()
        channel = super().buildProtocol(addr)
        channel.forget = lambda gone: self._crowd.drop(source, gone)
        self._crowd.add(source, channel)
        return channel

    def log(self, request: http.Request) -> None:
        """Note an answer, without the query of its URL, where tokens stand."""
        super().log(request)
        log.info(
            "{peer} {method} {path} {status} {sent}",
            peer=getattr(request.getClientAddress(), "host", "-"),
            method=_text(request.method) if request.method in METHODS else HIDDEN,
            path=shown_path(_text(getattr(request, "shown_path", None) or request.uri)),
            status=request.code,
            sent=request.sentLength,
        )

    def _warn(self, source: str | None, limit: str) -> None:
        self._turned_away += 1
        now = self.reactor.seconds()
        if self._warned_at is None or not 0 <= now - self._warned_at < WARN_S:
            log.warn(
                "too many connections, {count} turned away, the last from {source} by {limit}",
                count=self._turned_away,
                source=source or "a UNIX socket",
                limit=limit,
            )
            self._warned_at, self._turned_away = now, 0


def shown_path(uri: str) -> str:
    """Give the path of a request's target as far as the log may show it."""
    parts = uri.partition("?")[0].split("/")
    return "/".join(part if not part or SHOWN.fullmatch(part) else HIDDEN for part in parts)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
