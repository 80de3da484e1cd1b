"""Tunnels whose clients are greeted first and admitted then, so that a refusal reaches them as a close code.

A browser tells its page nothing of a handshake that was refused. So the dialects' own wires answer 101 at once; what a
client sends meanwhile is held, as for every tunnel whose program is not there yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sessiond.core.errors import Code, Refused
from sessiond.core.services import Service
from sessiond.ports import Clock, Close, Observer, RelayLimits
from sessiond.web.answers import Answer, send
from sessiond.ws.handshake import Upgrade, read_upgrade

if TYPE_CHECKING:
    from sessiond.tunnel.client import Tunnel
    from sessiond.ws.channel import Admits

log = Logger()


@frozen
class Wanted:
    """What a client wants, as far as that can be told at once.

    :ivar service: says how its sessions are carried; ``None`` where it is offered no more.
    :ivar session: gives the session's id; where a connection makes its session, makes it.
        It may raise :class:`Refused`.
    :ivar mark: what the log shows of how it was named, without a secret.
    :ivar observer: sees what is carried.
    """

    service: Service | None
    session: Callable[[], Awaitable[str]]
    mark: str = ""
    observer: Observer | None = None


class Host(Protocol):
    """A dialect, as far as its tunnels are concerned."""

    def turn_away(self, request: Request, refused: Refused) -> Answer:
        """Answer what is no WebSocket, or must not become one."""

    def check(self, request: Request) -> None:
        """Say whether the handshake is to be answered.

        :raises Refused: it is not.
        """

    def choose(self, request: Request) -> Wanted:
        """Say what a client wants.

        :raises Refused: nothing that is there; it is greeted and closed with the reason.
        """

    def in_words(self, session_id: str, close: Close) -> Close:
        """Give what a client of a session is told in place of the usual code and text."""

    def refusal(self, refused: Refused) -> Close:
        """Give what a client is told that is not admitted."""

    def not_admitted(self, session_id: str) -> None:
        """Take note that a session, which may have been made for this client alone, did not take it."""


class GreetingGate(Protocol):
    """What makes tunnels, as the resource in front of them sees it."""

    def greet(self, request: Request, upgrade: Upgrade, greeting: Greeting) -> Tunnel:
        """Answer 101, and give a tunnel of a session that is not known yet."""


@frozen
class Greeting:
    """How one client is greeted.

    :ivar service: what it wants; ``None`` where that is nothing that is there.
    :ivar observer: sees what is carried.
    """

    limits: RelayLimits
    service: Service | None
    observer: Observer | None = None


class GreetingResource(Resource):
    """Shakes hands with whoever speaks WebSocket, whatever the path, then asks the broker."""

    isLeaf = True

    def __init__(self, host: Host, broker: Admits, gate: GreetingGate, limits: RelayLimits, clock: Clock) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._host, self._broker, self._gate, self._limits, self._clock = host, broker, gate, limits, clock

    def render(self, request: Request) -> int:
        """Greet a client."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        greeting = Deferred.fromCoroutine(self._greet(request, gone))
        greeting.addErrback(self._turn_away, request, gone)
        greeting.addErrback(lambda failure: log.failure("a client was neither greeted nor turned away", failure))
        return NOT_DONE_YET

    async def _greet(self, request: Request, gone: list[Failure]) -> None:
        # As before every handshake: only behind the segment can the connection be taken with every byte in order.
        turned: Deferred[None] = Deferred()
        self._clock.call_later(0, turned.callback, None)
        await turned
        upgrade = read_upgrade(request)
        self._host.check(request)
        if gone:
            return
        wanted: Wanted | Refused
        try:
            wanted = self._host.choose(request)
        except Refused as refused:
            wanted = refused
        service, observer = (None, None) if isinstance(wanted, Refused) else (wanted.service, wanted.observer)
        tunnel = self._gate.greet(request, upgrade, Greeting(self._limits, service, observer))
        tunnel.in_words = lambda close: self._host.in_words(tunnel.session_id, close)
        try:
            await self._admit(tunnel, wanted)
        except Refused as refused:
            self._close(tunnel, self._host.refusal(refused))
        except Exception:  # noqa: BLE001 - whatever it is, the client hears that it is ours
            log.failure("a client could not be let in")
            self._close(tunnel, self._host.refusal(Refused(Code.INTERNAL)))

    async def _admit(self, tunnel: Tunnel, wanted: Wanted | Refused) -> None:
        if isinstance(wanted, Refused):
            raise wanted
        tunnel.session_id = await wanted.session()
        log.info("{id}: a client comes {mark}", id=tunnel.session_id, mark=wanted.mark)
        # One that has gone meanwhile is admitted too: it is told as gone at once, and its session ends as after others.
        admission = await self._broker.admit(tunnel.session_id, tunnel)
        tunnel.admitted(admission.number, admission.tell)

    def _close(self, tunnel: Tunnel, close: Close) -> None:
        tunnel.in_words = lambda usual: close
        tunnel.cut(close.code, close.text, 0.0)
        if tunnel.session_id:
            self._host.not_admitted(tunnel.session_id)

    def _turn_away(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        refused = failure.value
        if not isinstance(refused, Refused):
            log.failure("a client could not be greeted", failure)
            refused = Refused(Code.INTERNAL)
        if not gone and not request.startedWriting:
            send(request, self._host.turn_away(request, refused))
