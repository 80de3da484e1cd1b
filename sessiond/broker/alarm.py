"""One timer for the deadlines of all sessions."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from sessiond.core.deadlines import Agenda
from sessiond.core.session import Session
from sessiond.ports import Clock

TICK_S = 5.0
"""The timer comes at least this often while anything is due, so that a daemon that stood still notices it."""
LATE_S = 5.0
"""How late a tick must come before it counts as a standstill."""

log = Logger()


class Alarm:
    """Calls when a session has a deadline to attend to.

    :param due: takes the id of a session whose earliest deadline has passed.
    :param resumed: takes the seconds for which the whole daemon stood still.
    """

    def __init__(self, clock: Clock, due: Callable[[str], None], resumed: Callable[[float], None]) -> None:
        self._clock, self._due, self._resumed = clock, due, resumed
        self._agenda = Agenda()
        self._timer: IDelayedCall | None = None
        self._at = 0.0

    def note(self, session: Session) -> None:
        """Take a session's earliest deadline over."""
        self._agenda.note(session)
        self._arm()

    def drop(self, session_id: str) -> None:
        """Forget a session."""
        self._agenda.drop(session_id)
        self._arm()

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _arm(self) -> None:
        at, now = self._agenda.earliest(), self._clock.now()
        if at is None:
            self.stop()
            return
        at = max(now, min(at, now + TICK_S))
        if self._timer is not None and self._timer.active():
            if self._at <= at:
                return
            self._timer.cancel()
        self._at = at
        self._timer = self._clock.call_later(at - now, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock.now()
        gap = now - self._at
        if gap > LATE_S:
            log.warn("the daemon stood still for {gap:.1f} s; deadlines are moved on", gap=gap)
            self._resumed(gap)
        ids = []
        while (session_id := self._agenda.take_due(now)) is not None:
            ids.append(session_id)
        for session_id in ids:
            self._due(session_id)
        self._arm()
