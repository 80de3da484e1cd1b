"""Deadlines of all sessions, earliest first. Data only: the broker asks it what is due and arms one timer."""

from __future__ import annotations

import heapq

from sessiond.core.session import Session
from sessiond.core.values import Deadline


def next_deadline(session: Session) -> tuple[Deadline, float] | None:
    """Say when a session must be attended to again.

    :returns: the deadline and its instant (epoch seconds); ``None`` where there is none.
    """
    name = min(session.deadlines, key=session.deadlines.__getitem__, default=None)
    return None if name is None else (name, session.deadlines[name])


class Agenda:
    """Which session is due when. Entries that a later change made void are passed over when they come up."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}

    def note(self, session: Session) -> None:
        """Take a session's earliest deadline over."""
        upcoming = next_deadline(session)
        if upcoming is None:
            self.drop(session.id)
        elif self._due.get(session.id) != upcoming[1]:
            self._due[session.id] = upcoming[1]
            heapq.heappush(self._heap, (upcoming[1], session.id))
            self._compact()

    def drop(self, session_id: str) -> None:
        """Forget a session."""
        self._due.pop(session_id, None)

    def earliest(self) -> float | None:
        """Give the instant of the next deadline of all; ``None`` where nothing is due ever."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> str | None:
        """Give the id of a session with a deadline at or before ``now``, the earliest first, each entry once."""
        at = self.earliest()
        if at is None or at > now:
            return None
        session_id = heapq.heappop(self._heap)[1]
        del self._due[session_id]
        return session_id

    def _compact(self) -> None:
        # A session whose deadline moves with every byte would otherwise leave void entries without bound.
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._due):
            self._heap = [(at, session_id) for session_id, at in self._due.items()]
            heapq.heapify(self._heap)
