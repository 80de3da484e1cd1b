"""Who calls, and what that caller may."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

from attrs import frozen
from twisted.internet.interfaces import IAddress
from twisted.web.server import Request

from sessiond.broker import Tickets
from sessiond.config.values import ApiToken, Callers, Listener
from sessiond.core.errors import Code, Refused
from sessiond.core.services import Service
from sessiond.core.session import Session
from sessiond.entropy import digest
from sessiond.web.bodies import argument, header
from sessiond.web.origins import Origin, names_local, read_host, read_origin, read_url

BEARER = re.compile(r"bearer +(?P<token>[A-Za-z0-9._~+/=-]{1,512})", re.IGNORECASE | re.ASCII)
"""RFC 6750 section 2.1."""

OTHER_ORIGIN = "this origin may not call"
OUR_OWN_PAGES = (None, "same-origin", "none")
"""What ``Sec-Fetch-Site`` says of a request that no other site has caused; older browsers and programs say nothing."""


class Scope(Enum):
    """What a token is good for; each includes those before it."""

    READ = "read"
    LAUNCH = "launch"
    OPERATE = "operate"


def scopes_of(names: Iterable[str]) -> frozenset[Scope]:
    """Give the scopes of these names with all that they include; a name that is none of ours gives nothing."""
    order = list(Scope)
    last = max((order.index(scope) for scope in order if scope.value in set(names)), default=-1)
    return frozenset(order[: last + 1])


@frozen
class Face:
    """How one listener presents itself.

    :ivar public_url: how clients reach it, without a slash at its end; ``None`` takes the Host of a request.
    :ivar origins: origins of pages that may call beside its own; ``hosts`` what a Host may say beside its own.
    :ivar secure: whether it speaks TLS itself. No header says so for it: anybody can send one.
    :ivar port: its own port, where the configuration tells it.
    :ivar tunnel: the face of the listener where tunnels open, if it is another one.
    """

    callers: Callers = Callers.TOKEN
    public_url: str | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    secure: bool = False
    port: int | None = None
    tunnel: Face | None = None

    @classmethod
    def of(cls, listener: Listener, tunnel: Listener | None = None) -> Face:
        """Give the face of a configured listener.

        :param tunnel: the listener where tunnels open, if it is another one.
        """
        return cls(
            callers=listener.callers,
            public_url=listener.public_url,
            origins=listener.origins,
            hosts=listener.hosts,
            secure=listener.secure,
            port=listener.port,
            tunnel=None if tunnel is None else cls.of(tunnel),
        )

    def own_origin(self, host: str | None) -> Origin | None:
        """Give the origin that the listener's own pages have for a client that sent this Host."""
        return read_url(self.public_url) if self.public_url is not None else read_host(host, self.secure)

    def admits_origin(self, origin: str | None, host: str | None) -> bool:
        """Say whether pages of this origin may call."""
        found = read_origin(origin)
        allowed = {self.own_origin(host), *map(read_origin, self.origins)}
        return found is not None and found in allowed

    def admits_host(self, host: str | None, local: tuple[str, int] | None) -> bool:
        """Say whether this Host names the listener.

        :param local: its address and port for this connection; ``None`` where it is a UNIX socket.
        """
        found, public = read_host(host, self.secure), read_url(self.public_url)
        if found is None:
            return False
        if public is not None and read_host(host, public.secure) == public:
            return True
        return found in {read_host(name, self.secure) for name in self.hosts} or names_local(found, local)

    def base_url(self, host: str | None) -> str:
        """Give the URL that clients reach the listener by, without a slash at its end.

        :raises Refused: ``bad-request``: neither the configuration nor the Host says it.
        """
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        found = read_host(host, self.secure)
        if found is None:
            raise Refused(Code.BAD_REQUEST, "one valid Host is needed")
        return found.text

    def tunnel_base(self, host: str | None) -> str:
        """Give the URL that clients reach the tunnels' listener by, without a slash at its end.

        :raises Refused: as :meth:`base_url`.
        """
        base, tunnel = self.base_url(host), self.tunnel
        if tunnel is None:
            return base
        own = read_url(base)
        if tunnel.public_url is not None or tunnel.port is None or own is None:
            return tunnel.base_url(host)
        return Origin(tunnel.secure, own.host, tunnel.port).text


@frozen
class Caller:
    """Somebody who calls.

    :ivar owner: the name of its token; empty for a caller that nobody knows.
    :ivar proven: whether a token proved it, or a ticket that was given for one.
    """

    owner: str = ""
    scopes: frozenset[Scope] = frozenset()
    groups: frozenset[str] = frozenset()
    proven: bool = False

    def need(self, scope: Scope) -> None:
        """Let nobody pass who lacks a scope.

        :raises Refused: ``forbidden``.
        """
        if scope not in self.scopes:
            raise Refused(Code.FORBIDDEN, f"the scope {scope.value} is needed")

    def owns(self, session: Session) -> bool:
        """Say whether a session is the caller's to see and to end."""
        # A warm session that waits for its user is in nobody's name, and not in that of callers without one.
        return Scope.OPERATE in self.scopes or (session.claimed and session.owner == self.owner)

    def sees(self, service: Service) -> bool:
        """Say whether the caller may see and start a service."""
        operates = self.proven and Scope.OPERATE in self.scopes
        return service.group is None or service.group in self.groups or operates

    def owner_for(self, wanted: str | None) -> str:
        """Say in whose name the caller's new session stands.

        :raises Refused: ``forbidden``: it asked for another's name.
        """
        if wanted is None or wanted == self.owner:
            return self.owner
        if Scope.OPERATE not in self.scopes:
            raise Refused(Code.FORBIDDEN, "a session in another's name takes the scope operate")
        return wanted


NOBODY = Caller()
"""Who calls where nobody is asked, and may nothing."""


class Access:
    """The callers that are known.

    Where there is no token at all, everybody on a listener for anyone is as good as the operator. Where there are
    some, names count for something: who proves none has sessions without an owner, and sees no others.

    :param tickets: of callers; without them nobody comes by ticket.
    """

    def __init__(self, tokens: Iterable[ApiToken], tickets: Tickets[Caller] | None = None) -> None:
        self.tickets = tickets
        # Looked up by SHA-256: how long that takes tells nothing of the token.
        self._callers = {
            token.digest: Caller(token.name, scopes_of(token.scopes), token.groups, proven=True) for token in tokens
        }
        names = ("operate",) if not self._callers else ("launch",)
        self._anyone = Caller(scopes=scopes_of(names))

    def caller_of(self, request: Request, face: Face) -> Caller:
        """Say who calls: by a token as a bearer, or by ``?ticket=`` in a GET, which uses the ticket up.

        Every face that knows callers asks this, those that speak WebSocket too.

        :raises Refused: ``bad-request``, ``unauthenticated``, or ``forbidden`` for a page that may not call.
        """
        host, origin = header(request, "Host"), header(request, "Origin")
        if read_host(host, face.secure) is None:
            raise Refused(Code.BAD_REQUEST, "one valid Host is needed")
        self.check_origin(origin, host, face)
        token, ticket = bearer_of(request), argument(request, "ticket")
        if token is not None and ticket is not None:
            raise Refused(Code.BAD_REQUEST, "a token or a ticket is needed, not both")
        if ticket is not None:
            # Links are followed by GET. Nothing that changes anything can be hidden behind one.
            if request.method != b"GET":
                raise Refused(Code.UNAUTHENTICATED, "a ticket of a caller is for GET")
            return self.by_ticket(ticket)
        if token is not None:
            return self.by_token(token)
        if face.callers is not Callers.ANYONE:
            raise Refused(Code.UNAUTHENTICATED)
        check_unproven(request, face, origin, host)
        return self._anyone

    def check_origin(self, origin: str | None, host: str | None, face: Face) -> None:
        """Let no page call that may not; a program sends no Origin and passes, for what it proves or its Host says.

        :param origin: the Origin header; ``host`` the Host header of the same request.
        :raises Refused: ``forbidden``.
        """
        if origin is not None and not face.admits_origin(origin, host):
            raise Refused(Code.FORBIDDEN, OTHER_ORIGIN)

    @property
    def has_tokens(self) -> bool:
        """Say whether any caller could prove who it is."""
        return bool(self._callers)

    def by_token(self, token: str) -> Caller:
        """Say whose token this is.

        :raises Refused: ``unauthenticated``.
        """
        caller = self._callers.get(digest(token))
        if caller is None:
            raise Refused(Code.UNAUTHENTICATED)
        return caller

    def by_ticket(self, ticket: str) -> Caller:
        """Say for whom a ticket stands, and use it up.

        :raises Refused: ``unauthenticated``.
        """
        if self.tickets is None:
            raise Refused(Code.UNAUTHENTICATED)
        return self.tickets.take(ticket)


def bearer_of(request: Request) -> str | None:
    """Give the token that a request brings; ``None`` where it brings none of this kind.

    :raises Refused: ``unauthenticated``: it brings what can be none.
    """
    text = header(request, "Authorization") or ""
    if text.partition(" ")[0].lower() != "bearer":
        return None
    found = BEARER.fullmatch(text)
    if found is None:
        raise Refused(Code.UNAUTHENTICATED)
    return found["token"]


def check_unproven(request: Request, face: Face, origin: str | None, host: str | None) -> None:
    """Let a request without a token pass only if no other site has caused it.

    :raises Refused: ``forbidden``.
    """
    if not face.admits_host(host, _local(request.getHost())):
        raise Refused(Code.FORBIDDEN, "this Host is not served here; name it in the listener's hosts")
    if origin is None and header(request, "Sec-Fetch-Site") not in OUR_OWN_PAGES:
        raise Refused(Code.FORBIDDEN, "other sites may not call")


def check_reader(request: Request, face: Face) -> None:
    """Let a request pass for what needs no token, unless it is another site's; a link there may lead here.

    :raises Refused: ``bad-request``, or ``forbidden``.
    """
    host, origin = header(request, "Host"), header(request, "Origin")
    if origin is not None and not face.admits_origin(origin, host):
        raise Refused(Code.FORBIDDEN, OTHER_ORIGIN)
    followed = header(request, "Sec-Fetch-Mode") == "navigate" and request.method == b"GET"
    if face.callers is Callers.ANYONE and not (followed and face.admits_host(host, _local(request.getHost()))):
        check_unproven(request, face, origin, host)


def _local(address: IAddress) -> tuple[str, int] | None:
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    return (host, port) if isinstance(host, str) and isinstance(port, int) else None
