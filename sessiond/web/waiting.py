"""Callers who wait for their session to be ready, and may hang up meanwhile."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from sessiond.broker import Broker, Request, Reservation
from sessiond.core.effects import Verdict
from sessiond.core.errors import Refused
from sessiond.core.session import Session
from sessiond.web.leaf import finish_anyway


async def ordered(broker: Broker, request: Request) -> tuple[Reservation, Verdict | None]:
    """Make a session and wait for the verdict; ``None`` where the caller does not wait.

    Who is cancelled has hung up, and leaves the session; one that nobody else wants is taken back at once.

    :raises Refused: as the broker does.
    """
    # It is being saved: it is made even if its caller goes now, who then leaves it the moment it is.
    making = Deferred.fromCoroutine(broker.reserve(request))
    reservation = await finish_anyway(making, lambda made: _leave(broker, made))
    if reservation.answer is None:
        return reservation, None
    try:
        return reservation, await reservation.answer
    except CancelledError:
        _leave(broker, reservation)
        raise


def latest(broker: Broker, reservation: Reservation) -> Session:
    """Give the session as it is now."""
    try:
        return broker.session(reservation.session.id)
    except Refused:  # forgotten already
        return reservation.session


def _leave(broker: Broker, reservation: Reservation) -> None:
    if reservation.caller is not None:
        broker.leave(reservation.session.id, reservation.caller)
