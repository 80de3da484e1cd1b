"""Keeps a connection to RabbitMQ: dial, be let in, set up, work until it ends, wait, again.

Twisted's ``ClientService`` is not used: a server that hangs up before AMQP is ready leaves an unhandled error in it
each time, and a preparation that fails leaves the transport open.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from sessiond.bus.amqp.seam import Lost, Wire, Work
from sessiond.ports import Clock, Entropy

CONNECT_S = READY_S = SETUP_S = 10.0
"""How long each of the three steps may take."""

BASE_S, MOST_S = 0.5, 30.0
"""The wait before the next try is drawn from 0 up to a limit, which doubles from the one to the other: daemons that
lost one server together don't come back together."""

STEADY_S = 60.0
"""A connection that was up so long begins the waits anew."""

CLOSE_S = 1.0

T = TypeVar("T")
log = Logger()


class Standing(Enum):
    """How a link stands."""

    AWAY = "away"
    UP = "up"
    BLOCKED = "blocked"


def longest_wait_s(failures: int) -> float:
    """Give the limit of the wait after so many connections in a row that did not last, 1 or more."""
    return min(MOST_S, BASE_S * 2.0 ** min(failures - 1, 16))


class Link:
    """One kept connection.

    :param called: its name in the log and on the server.
    :param where: the server, for the log.
    :param dial: connects; what it gives is ended by the link in any case.
    :param reactor: measures the limits of each step.
    """

    def __init__(
        self,
        called: str,
        where: str,
        dial: Callable[[], Deferred[Wire]],
        work: Work,
        reactor: IReactorTime,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._called, self._where, self._dial, self._work = called, where, dial, work
        self._reactor, self._clock, self._entropy = reactor, clock, entropy
        self._wire: Wire | None = None
        self._waiting: Deferred[Any] | None = None
        self._ended: Deferred[None] = succeed(None)
        self._stopping = False
        self._up_at: float | None = None
        self._away_since: float | None = None
        self._connections = 0

    @property
    def reconnects(self) -> int:
        """Say how often it was connected again."""
        return max(0, self._connections - 1)

    @property
    def standing(self) -> Standing:
        """Say how it stands."""
        if self._up_at is None or self._wire is None:
            return Standing.AWAY
        return Standing.UP if self._wire.blocked is None else Standing.BLOCKED

    def start(self) -> None:
        """Begin."""
        self._away_since = self._clock.now()
        self._ended = Deferred.fromCoroutine(self._run())
        self._ended.addErrback(lambda failure: log.failure("RabbitMQ, {link}: given up", failure, link=self._called))

    def stop(self) -> Deferred[None]:
        """End it; fires when nothing of it is left."""
        self._stopping = True
        if self._wire is not None:
            self._wire.finish(CLOSE_S)
        elif self._waiting is not None:
            self._waiting.cancel()
        return self._ended

    async def _run(self) -> None:
        failures = 0
        while True:
            why, lasted_s = await self._connection()
            if self._stopping:
                return
            failures = 1 if lasted_s >= STEADY_S else failures + 1
            wait_s = self._entropy.fraction() * longest_wait_s(failures)
            log.warn(
                "RabbitMQ, {link}: {where}: {why}; again in {wait:.1f} s",
                link=self._called,
                where=self._where,
                why=why,
                wait=wait_s,
            )
            try:
                await self._interruptible(self._sleep(wait_s))
            except CancelledError:
                return

    async def _connection(self) -> tuple[str, float]:
        """Have one connection.

        :returns: why it ended, and for how many seconds it was of use.
        """
        try:
            wire = await self._interruptible(self._dial().addTimeout(CONNECT_S, self._reactor))
        except TookTooLong:
            return f"can't be reached within {CONNECT_S:.0f} s", 0.0
        except Exception as error:  # noqa: BLE001 - there are many ways in which a dial fails: each is tried again
            return f"can't be reached: {error}", 0.0
        self._wire = wire
        try:
            await self._steps(wire)
        except (Lost, TookTooLong) as error:
            wire.abort(str(error))
        except Exception as error:  # noqa: BLE001 - whatever fails, the transport must go and the next try come
            log.failure("RabbitMQ, {link}: can't be set up", link=self._called)
            wire.abort(str(error) or type(error).__name__)
        if not wire.is_gone:
            await wire.gone
        lasted_s = 0.0 if self._up_at is None else self._clock.now() - self._up_at
        if self._up_at is not None:
            self._away_since = self._clock.now()
        self._wire, self._up_at = None, None
        self._work.lost()
        return wire.why, lasted_s

    async def _steps(self, wire: Wire) -> None:
        if self._stopping:
            wire.opened.addErrback(lambda failure: None)
            wire.finish(CLOSE_S)
            return
        await self._limited(wire.opened, READY_S, f"does not let us in within {READY_S:.0f} s")
        wire.on_blocked = self._tell_blocked
        setup: Deferred[None] = Deferred.fromCoroutine(self._work.begin(wire))
        await self._limited(setup, SETUP_S, f"does not answer within {SETUP_S:.0f} s")
        if wire.is_gone:
            return
        now = self._clock.now()
        away_s, self._up_at = now - (now if self._away_since is None else self._away_since), now
        log.info(
            "RabbitMQ, {link}: connected to {where} after {away:.1f} s",
            link=self._called,
            where=self._where,
            away=away_s,
        )
        self._connections += 1

    def _tell_blocked(self) -> None:
        if self._wire is None:
            return
        if self._wire.blocked is None:
            log.info("RabbitMQ, {link}: takes messages again", link=self._called)
        else:
            log.warn("RabbitMQ, {link}: takes no messages at present: {why}", link=self._called, why=self._wire.blocked)

    async def _limited(self, waited: Deferred[T], limit_s: float, otherwise: str) -> T:
        try:
            return await waited.addTimeout(limit_s, self._reactor)
        except TookTooLong:
            raise TookTooLong(otherwise) from None

    async def _interruptible(self, waited: Deferred[T]) -> T:
        self._waiting = waited
        try:
            return await waited
        finally:
            self._waiting = None

    def _sleep(self, wait_s: float) -> Deferred[None]:
        slept: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.call_later(wait_s, slept.callback, None)
        return slept
