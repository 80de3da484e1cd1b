"""A store that fails and dawdles when the test says so, and keeps what it kept when the daemon is killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from sessiond.core.errors import StoreError
from sessiond.core.facts import Fact, History, StoredFact
from sessiond.core.session import Session
from sessiond.stores.memory import MemoryShelf

T = TypeVar("T")


class UnreliableStore:
    """A disk that may be full (``broken``) or slow (``slow``: nothing is done before ``flush``).

    It stands for the disk, so it outlives a daemon: after ``forget_daemon`` what was not flushed is lost.
    """

    def __init__(self) -> None:
        self.broken = False
        self.slow = False
        self.kept: dict[str, Session] = {}
        self.told: list[StoredFact] = []
        self.rows: dict[str, dict[str, bytes]] = {}
        self.writes = 0
        self._waiting: list[Callable[[], None]] = []

    def open(self) -> Deferred[list[Session]]:
        """Give what is kept."""
        return succeed(list(self.kept.values()))

    def save(self, session: Session, facts: Sequence[Fact]) -> Deferred[list[StoredFact]]:
        """Keep a session, now or at the next flush."""
        return self._write(facts, lambda: self.kept.__setitem__(session.id, session))

    def forget(self, session_id: str, facts: Sequence[Fact]) -> Deferred[list[StoredFact]]:
        """Drop a session, now or at the next flush."""
        return self._write(facts, lambda: self.kept.pop(session_id, None))

    def facts(self, after: int, limit: int) -> Deferred[list[StoredFact]]:
        """Give facts by offset."""
        return succeed(self.told[after : after + limit])

    def history(self) -> Deferred[History]:
        """Say which facts are kept: all."""
        return succeed(History("unreliable", 1, len(self.told)))

    def shelf(self, name: str) -> UnreliableShelf:
        """Give the rows of somebody's own; the disk is as full, and never slow."""
        return UnreliableShelf(self.rows.setdefault(name, {}), lambda: not self.broken)

    def close(self) -> Deferred[None]:
        """Finish what waits."""
        self.flush()
        return succeed(None)

    def flush(self) -> None:
        """Do everything that waits."""
        while self._waiting:
            self._waiting.pop(0)()

    def forget_daemon(self) -> None:
        """Lose what was not kept yet, as a killed process does."""
        self._waiting.clear()

    def _write(self, facts: Sequence[Fact], change: Callable[[], object]) -> Deferred[list[StoredFact]]:
        if not self.slow:
            return fail(StoreError("disk full")) if self.broken else succeed(self._keep(facts, change))
        done: Deferred[list[StoredFact]] = Deferred()

        def later() -> None:
            if self.broken:
                done.errback(StoreError("disk full"))
            else:
                done.callback(self._keep(facts, change))

        self._waiting.append(later)
        return done

    def _keep(self, facts: Sequence[Fact], change: Callable[[], object]) -> list[StoredFact]:
        change()
        self.writes += 1
        stored = [StoredFact(len(self.told) + i, fact) for i, fact in enumerate(facts, 1)]
        self.told.extend(stored)
        return stored


class UnreliableShelf(MemoryShelf):
    """Rows on such a disk."""

    def _done(self, call: Callable[[], T]) -> Deferred[T]:
        return succeed(call()) if self._is_open() else fail(StoreError("disk full"))
