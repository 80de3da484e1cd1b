"""What all routes of the dialect share: the broker, the settings, and who may call."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from twisted.web.server import Request as WebRequest

from sessiond.broker import Broker, Request
from sessiond.config import Nexus
from sessiond.core.errors import Refused
from sessiond.core.events import Release
from sessiond.core.facts import FactType, StoredFact
from sessiond.core.session import Session
from sessiond.core.values import Deadline, State
from sessiond.dialects.nexus.queries import Query, read_query
from sessiond.entropy import digest

OWNER = "nexus"
"""In whose name its sessions stand: callers prove who they are to the portal in front, never here."""


class Front:
    """The broker and the settings, as the dialect's routes see them.

    :param shutdown: ends the daemon in order.
    :ivar stopping: whether a caller has had it stopped.
    :ivar changed: is called with the name of a service whenever one of its slots is taken or comes free.
    """

    def __init__(self, settings: Nexus, broker: Broker, shutdown: Callable[[], object]) -> None:
        self.settings, self.broker = settings, broker
        self.stopping = False
        self.changed: Callable[[str], object] = lambda name: None
        self._shutdown = shutdown
        self._tokens: dict[str, str] = {}

    # -- who may call ------------------------------------------------------------------------------------------------

    def knows(self, query: Query) -> bool:
        """Say whether a query holds the security token; without one in the settings everybody may call."""
        token = self.settings.security_token
        return token is None or any(same(token, given) for given in query.tokens)

    def may_list(self, request: WebRequest) -> bool:
        """Say whether a request may see what is in a folder: names of files begin with the security token."""
        return self.knows(query_of(request))

    def identifies(self, secret: str) -> bool:
        """Say whether this is the security token, or the token of a session that lives."""
        token = self.settings.security_token
        return (token is not None and same(token, secret)) or self.session_of(secret) is not None

    # -- sessions ----------------------------------------------------------------------------------------------------

    async def reserve(self, name: str, options: Mapping[str, str]) -> str:
        """Reserve a slot, and give the session's token.

        :raises Refused: as the broker does.
        """
        service = self.broker.service(name)
        # A service that declares its options gets those of them that came; every viewer sends more.
        taken = options if service.any_options else {k: v for k, v in options.items() if k in service.options}
        made = await self.broker.reserve(Request(name, OWNER, taken, short=True, queues=False))
        self._tokens[made.session.id] = made.token
        return made.token

    def session_of(self, token: str) -> Session | None:
        """Give the session that a token opens, if it is one of this dialect's services and lives."""
        try:
            session = self.broker.by_token(token)
        except Refused:
            return None
        return session if session.service in self.settings.services and is_live(session) else None

    def release(self, session: Session) -> None:
        """End a session; its program is ended behind that."""
        self.broker.dispatch(session.id, Release()).addErrback(lambda failure: failure.trap(Refused) and None)

    def token_of(self, session: Session) -> str:
        """Give a session's token as long as the daemon that made it runs, since only its digest is kept; else its id,
        which opens nothing and shows that the slot is taken."""
        return self._tokens.get(session.id, session.id)

    def count_of(self, name: str) -> int:
        """Say how many places a service has."""
        service = self.broker.catalogue.services.get(name)
        return 0 if service is None else self.broker.catalogue.pool_of(service).count

    def free_in_s(self, name: str) -> float | None:
        """Say after how many seconds the earliest reservation that nobody uses runs out; ``None`` without one."""
        service = self.broker.catalogue.services.get(name)
        places = () if service is None else self.broker.places(service).values()
        ends = [place.deadlines.get(Deadline.RESERVATION) for place in places if place.state is State.RESERVED]
        at = min((end for end in ends if end is not None), default=None)
        return None if at is None else max(0.0, at - self.broker.clock.now())

    def hear(self, stored: StoredFact) -> None:
        """Take note of a fact."""
        fact = stored.fact
        if fact.type in (FactType.ENDED, FactType.FORGOTTEN):
            self._tokens.pop(fact.session_id, None)
        elif fact.type is FactType.TUNNEL_CLOSED and fact.owner == OWNER:
            self._end_unserved(fact.session_id)
        self.changed(fact.service)

    def _end_unserved(self, session_id: str) -> None:
        """End a session whose client has gone before anything flowed: one reservation is one connection's life.

        Once something has, the session's own limit says how long it waits for its client.
        """
        session = self.broker.session(session_id)
        if is_live(session) and not (session.served or session.tunnels or session.plan.limits.linger_s):
            self.release(session)

    # -- the end -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End the daemon."""
        self._shutdown()


def is_live(session: Session) -> bool:
    """Say whether a session still has a use for its token."""
    return session.state not in (State.STOPPING, State.ENDED)


def same(secret: str, given: str) -> bool:
    """Compare in a time that tells nothing, not even a length."""
    return hmac.compare_digest(digest(secret), digest(given))


def query_of(request: WebRequest) -> Query:
    """Read the query of a request."""
    return read_query(request.uri.partition(b"?")[2])
