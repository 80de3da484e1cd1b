"""``/rpc``: the daemon's own methods, for those who have a token or a ticket, with the rights that REST gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Request

from sessiond.broker import Broker
from sessiond.config.values import Callers
from sessiond.core.effects import Verdict
from sessiond.core.errors import Code, Refused
from sessiond.core.events import Release
from sessiond.core.facts import StoredFact
from sessiond.core.session import Session
from sessiond.core.values import State
from sessiond.web.access import Access, Caller, Face, Scope, bearer_of
from sessiond.web.api_sessions import full_shape, owned_shapes, secrets_shape, urls_shape
from sessiond.web.bodies import header
from sessiond.web.orders import read_extension, read_order
from sessiond.web.outcomes import refusal_of
from sessiond.web.shapes import Shape, instant, service_shape
from sessiond.web.waiting import latest, ordered
from sessiond.ws.rpc.endpoint import Endpoint
from sessiond.ws.rpc.link import Link
from sessiond.ws.rpc.methods import Methods, register
from sessiond.ws.rpc.values import Message
from sessiond.ws.talk import TalkResource

FACTS = "sessiond.facts"
"""The topic of what happens to sessions."""
NOTHING_SAID = (None, "", "wslink-secret")
"""What clients send as a secret that were given none."""


@frozen
class Came:
    """What is kept of a client's handshake.

    :ivar caller: who it is without a word in its hello; ``None`` where it must say.
    """

    host: str | None
    caller: Caller | None


class OwnMethods:
    """What can be called, by the clients of one listener."""

    def __init__(self, broker: Broker, face: Face) -> None:
        self._broker, self._face = broker, face
        self.endpoint: Endpoint | None = None

    def _calling(self, scope: Scope) -> tuple[Caller, Came]:
        """Say who calls; to be asked before anything is waited for.

        :raises Refused: ``forbidden``: the scope is missing.
        """
        link = None if self.endpoint is None else self.endpoint.last_active
        caller, came = (None, None) if link is None else (link.caller, link.request)
        if not isinstance(caller, Caller) or not isinstance(came, Came):
            raise Refused(Code.UNAUTHENTICATED)
        caller.need(scope)
        return caller, came

    def _own(self, caller: Caller, session_id: object) -> Session:
        if not isinstance(session_id, str):
            raise Refused(Code.BAD_REQUEST, "an id is needed")
        session = self._broker.session(session_id)
        if not caller.owns(session):
            raise Refused(Code.UNKNOWN_SESSION)
        return session

    @register("sessiond.services")
    def services(self) -> Shape:
        """List what the caller may launch."""
        caller, _ = self._calling(Scope.READ)
        seen = [service for service in self._broker.catalogue.services.values() if caller.sees(service)]
        return {"services": [service_shape(self._broker, service) for service in seen]}

    @register("sessiond.sessions")
    async def sessions(self) -> Shape:
        """List the caller's sessions."""
        caller, _ = self._calling(Scope.READ)
        return {"sessions": await owned_shapes(self._broker, caller)}

    @register("sessiond.session")
    def session(self, session_id: object) -> Shape:
        """Tell one."""
        caller, _ = self._calling(Scope.READ)
        return full_shape(self._broker, self._own(caller, session_id))

    @register("sessiond.reserve", concurrent=True)
    async def reserve(self, order: object, key: object = None) -> Shape:
        """Make a session, or give the one that the same key made.

        :param order: as the body of REST's POST.
        """
        caller, came = self._calling(Scope.LAUNCH)
        if not isinstance(order, dict) or not isinstance(key, str | None):
            raise Refused(Code.BAD_REQUEST, "a map is needed, and a text as the key")
        wanted = read_order(order, caller, key)
        if not caller.sees(self._broker.service(wanted.request.service)):
            raise Refused(Code.UNKNOWN_SERVICE)
        reservation, verdict = await ordered(self._broker, wanted.request)
        session = latest(self._broker, reservation)
        over = session.state in (State.STOPPING, State.ENDED)
        if wanted.waits and (verdict is Verdict.ENDED or over):
            raise refusal_of(session)
        urls = {} if over else urls_shape(self._broker, self._face, came.host, session, reservation.token)
        secrets = {} if over else secrets_shape(self._broker, session, reservation.token)
        return {**full_shape(self._broker, session), **secrets, **urls}

    @register("sessiond.release")
    async def release(self, session_id: object) -> Shape:
        """End one; to end it again does no harm."""
        caller, _ = self._calling(Scope.LAUNCH)
        ended = await self._broker.dispatch(self._own(caller, session_id).id, Release())
        return full_shape(self._broker, ended or self._own(caller, session_id))

    @register("sessiond.extend")
    async def extend(self, session_id: object, deadline: object, by_s: object) -> Shape:
        """Push a deadline on, as far as the service allows."""
        caller, _ = self._calling(Scope.LAUNCH)
        session = self._own(caller, session_id)
        wanted = read_extension({"deadline": deadline, "by_s": by_s}, session, self._broker.clock.now())
        extended = await self._broker.dispatch(session.id, wanted)
        return full_shape(self._broker, extended or self._own(caller, session_id))


class _Callers:
    """The :class:`sessiond.ws.rpc.endpoint.Guard`: the secret of a hello is a token, or a caller's ticket."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def knows(self, hello: Message, link: Link) -> object:
        """Give the caller; a ticket is used up."""
        said, came = hello.get("secret"), link.request
        if said in NOTHING_SAID:
            return came.caller if isinstance(came, Came) else None
        if not isinstance(said, str):
            return None
        for find in (self._access.by_token, self._access.by_ticket):
            try:
                return find(said)
            except Refused:
                continue
        return None


class OwnLinks:
    """The daemon's own endpoints: one for each listener that serves it."""

    def __init__(self, broker: Broker, access: Access, reactor: IReactorTime) -> None:
        self._broker, self._access, self._reactor = broker, access, reactor
        self._endpoints: list[Endpoint] = []

    def resource(self, face: Face) -> IResource:
        """Make what lets clients in at a listener."""
        methods = OwnMethods(self._broker, face)
        endpoint = methods.endpoint = Endpoint(
            self._broker.clock, Methods([methods]), _Callers(self._access), explains=explained, is_shared=True
        )
        self._endpoints.append(endpoint)
        return TalkResource(endpoint.open, self._reactor, self._broker.clock, self._check(face))

    def _check(self, face: Face) -> Callable[[Request], Came]:
        def check(request: Request) -> Came:
            host = header(request, "Host")
            self._access.check_origin(header(request, "Origin"), host, face)
            known = face.callers is Callers.ANYONE or bearer_of(request) is not None
            return Came(host, self._access.caller_of(request, face) if known else None)

        return check

    def hear(self, stored: StoredFact) -> None:
        """Tell a fact to those who may see its session."""
        for endpoint in self._endpoints:
            links = [link for link in endpoint.known_links if self._may_see(link.caller, stored)]
            if links:
                endpoint.publish(FACTS, fact_shape(stored), links=links)

    def _may_see(self, caller: object, stored: StoredFact) -> bool:
        if not isinstance(caller, Caller) or Scope.READ not in caller.scopes:
            return False
        try:
            return caller.owns(self._broker.session(stored.fact.session_id))
        except Refused:  # forgotten already
            return Scope.OPERATE in caller.scopes or (stored.fact.owner != "" and stored.fact.owner == caller.owner)

    def close(self) -> None:
        """Let everybody go."""
        for endpoint in self._endpoints:
            endpoint.close()


def fact_shape(stored: StoredFact) -> Message:
    """Tell a fact."""
    fact = stored.fact
    return {
        "offset": stored.offset,
        "type": fact.type.value,
        "session": fact.session_id,
        "service": fact.service,
        "owner": fact.owner,
        "at": instant(fact.at),
        "data": dict(fact.data),
    }


def explained(error: BaseException) -> dict[str, Any] | None:
    """Tell a refusal as REST does, beside what every error has; ``None`` for what is none."""
    if not isinstance(error, Refused):
        return None
    later = {} if error.retry_after_s is None else {"retry_after_s": error.retry_after_s}
    text = error.detail or error.shape.title
    return {"exception": text, "code": error.code.value, "status": error.shape.http, **later}
