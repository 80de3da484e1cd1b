"""What all routes of the dialect share: the broker, the settings, and how a viewer gets its program."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall

from sessiond.broker import Broker, Request
from sessiond.config import EndpointForm, Hoops
from sessiond.core.effects import Verdict
from sessiond.core.errors import Code, Refused
from sessiond.core.facts import FactType, StoredFact
from sessiond.core.services import FOLDERS_SEPARATOR, Folders, Service, words_of
from sessiond.core.session import Session
from sessiond.core.values import LeaseKind, State
from sessiond.dialects.hoops.orders import Order
from sessiond.dialects.hoops.words import failure_of
from sessiond.web.access import Caller, Face
from sessiond.web.origins import Origin, read_url
from sessiond.web.shapes import socket_url
from sessiond.web.waiting import latest, ordered

WAIT_S = 55.0
"""From the request until the program must be ready: the shipped client gives up after 60 seconds."""
LAST_S = 57.0
"""When a caller gets an answer at the latest, whatever hangs."""
CERTIFICATE = "--ssl-certificate-file"
"""The argument by which a program speaks TLS itself (spec 2.1)."""

T = TypeVar("T")


@frozen
class Spawned:
    """A session whose program is ready.

    :ivar token: opens it; told once.
    """

    session: Session
    token: str = field(repr=False)


class Front:
    """The broker and the settings, as the dialect's routes see them.

    :param new_id: makes the id of a session, which nobody can guess.
    :param shutdown: ends the daemon in order.
    """

    def __init__(
        self, settings: Hoops, broker: Broker, new_id: Callable[[], str], shutdown: Callable[[], object]
    ) -> None:
        self.settings, self.broker, self.shutdown = settings, broker, shutdown
        self._new_id = new_id
        self._addresses: dict[str, str | None] = {}

    def sessions(self) -> list[Session]:
        """Give the sessions of the dialect's services as they were last saved."""
        ours = set(self.settings.services.values())
        return [session for session in self.broker.sessions() if session.service in ours]

    def services(self) -> list[Service]:
        """Give the services that are offered."""
        offered = self.broker.catalogue.services
        return [offered[name] for name in dict.fromkeys(self.settings.services.values()) if name in offered]

    def hear(self, stored: StoredFact) -> None:
        """Take note of a fact."""
        if stored.fact.type in (FactType.ENDED, FactType.FORGOTTEN):
            self._addresses.pop(stored.fact.session_id, None)

    # -- a viewer gets its program -----------------------------------------------------------------------------------

    async def spawn(self, order: Order, caller: Caller, address: str | None) -> Spawned:
        """Make a session, and wait until its program is ready. Who is cancelled has hung up, and it is taken back.

        :param address: the caller's; ``None`` on a UNIX socket.
        :raises Refused: no session is there; :class:`sessiond.dialects.hoops.words.NotSpawned` where one was.
        """
        service = self.broker.service(self.settings.services.get(order.rendering, ""))
        if not caller.sees(service):
            raise Refused(Code.UNKNOWN_SERVICE)
        session_id = self._new_id()
        options = options_of(order, service)
        request = Request(service.name, caller.owner, options, WAIT_S, patient=False, session_id=session_id)
        self._addresses[session_id] = address
        try:
            reservation, verdict = await self._in_time(ordered(self.broker, request))
        except BaseException:
            self._addresses.pop(session_id, None)
            raise
        session = latest(self.broker, reservation)
        if verdict is not Verdict.READY or session.state in (State.STOPPING, State.ENDED):
            raise failure_of(session)
        # In the same turn the program's own report is answered; that answer comes first (spec 3.2).
        await self._turn()
        return Spawned(session, reservation.token)

    async def _in_time(self, running: Coroutine[Any, Any, T]) -> T:
        """Wait, but not for ever.

        :raises Refused: ``launch-timeout``.
        """
        waiting, late = Deferred.fromCoroutine(running), False

        def give_up() -> None:
            nonlocal late
            late = True
            waiting.cancel()

        timer: IDelayedCall = self.broker.clock.call_later(LAST_S, give_up)
        try:
            return await waiting
        except CancelledError:
            if late:
                raise Refused(Code.LAUNCH_TIMEOUT) from None
            waiting.cancel()
            raise
        finally:
            if timer.active():
                timer.cancel()

    def _turn(self) -> Deferred[None]:
        turned: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer: IDelayedCall = self.broker.clock.call_later(0.0, turned.callback, None)
        return turned

    # -- where viewers go --------------------------------------------------------------------------------------------

    def endpoint(self, spawned: Spawned, face: Face, host: str | None) -> str:
        """Give the address of a viewer's WebSocket (spec 6).

        :param face: of the listener that was asked; ``host`` the Host of the request.
        :raises Refused: ``bad-request``: nothing says under which name the daemon is reached.
        """
        session = spawned.session
        if self.settings.endpoint is EndpointForm.SESSION_PATH:
            return socket_url(face, host, session.id, spawned.token)
        base, port = face.base_url(host), port_of(session)
        if self.settings.endpoint is EndpointForm.PROXY_PORT:
            return f"ws{base.removeprefix('http')}/wsproxy/{port}"
        own = read_url(base)
        if own is None:
            raise Refused(Code.BAD_REQUEST, "one valid Host is needed")
        service = self.broker.service_of(session)
        secure = service is not None and CERTIFICATE in words_of(service.command)
        return f"ws{Origin(secure, own.host, port).text.removeprefix('http')}"

    def by_port(self, port: int) -> Session | None:
        """Give the session whose program has a port, if a viewer may come for it at all."""
        live = (one for one in self.sessions() if one.state not in (State.STOPPING, State.ENDED))
        return next((one for one in live if any(lease.number == port for lease in one.leases)), None)

    def address_of(self, session: Session) -> str | None:
        """Give the address that a session was asked for from; ``None`` where nobody knows it any more."""
        return self._addresses.get(session.id)


def port_of(session: Session) -> int:
    """Give the port of a session's program."""
    return next(lease.number for lease in session.leases if lease.kind is LeaseKind.PORT)


def options_of(order: Order, service: Service) -> dict[str, object]:
    """Say what a service gets of an order, as its options.

    :raises Refused: ``bad-option``: it takes no such thing.
    """
    wanted = {"model": order.model, "session_token": order.token}
    found: dict[str, object] = {name: value for name, value in wanted.items() if value}
    if order.directories:
        declared = service.options.get("directories")
        own = (declared.default,) if isinstance(declared, Folders) else ()
        # A client's own come first, as with the vendor's server.
        found["directories"] = FOLDERS_SEPARATOR.join((*order.directories, *own))
    return found
