"""Ports and displays on loan: taken only when free, given back only when shown to be free again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall

from sessiond.core.capacity import SessionTable
from sessiond.core.services import Service
from sessiond.core.values import Lease, LeaseKind
from sessiond.ports import Clock, LeaseTest

RETEST_S = 1.0
"""How often a lease in quarantine is tested (``docs/operations.rst``, ports)."""


class Leasing:
    """Finds leases for launches, and retests those of ended sessions.

    :param freed: takes a session's id and those of its leases that were shown to be free.
    """

    def __init__(
        self, table: SessionTable, test: LeaseTest, clock: Clock, freed: Callable[[str, tuple[Lease, ...]], None]
    ) -> None:
        self._table, self._test, self._clock, self._freed = table, test, clock, freed
        self._quarantined: set[str] = set()
        self._timer: IDelayedCall | None = None

    def find(self, service: Service, kinds: Iterable[LeaseKind]) -> tuple[Lease, ...] | LeaseKind:
        """Find a free lease of each kind; where there is none, give the kind that is missing."""
        found: list[Lease] = []
        for kind in kinds:
            untaken = (lease for lease in self._table.candidates(service, kind) if lease not in found)
            lease = next((lease for lease in untaken if self._test.free(lease)), None)
            if lease is None:
                return kind
            found.append(lease)
        return tuple(found)

    def quarantine(self, session_id: str) -> None:
        """Test an ended session's leases now, and every second until all are free."""
        self._quarantined.add(session_id)
        self._retest(session_id)
        self._arm()

    def stop(self) -> None:
        """Test no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _arm(self) -> None:
        if self._quarantined and self._timer is None:
            self._timer = self._clock.call_later(RETEST_S, self.retest)

    def retest(self) -> None:
        """Test all that is in quarantine now."""
        self.stop()
        for session_id in tuple(self._quarantined):
            self._retest(session_id)
        self._arm()

    def _retest(self, session_id: str) -> None:
        session = self._table.get(session_id)
        leases = () if session is None else session.leases
        free = tuple(lease for lease in leases if self._test.free(lease))
        if len(free) == len(leases):
            self._quarantined.discard(session_id)
        if free:
            self._freed(session_id, free)
