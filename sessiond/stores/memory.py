"""A store in memory: for tests, and for trying things out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from sessiond.core.errors import StoreError
from sessiond.core.facts import Fact, History, StoredFact
from sessiond.core.session import Session

T = TypeVar("T")


class MemoryStore:
    """Keeps sessions as long as the object lives: it can be closed and opened again.

    Everything is done when the call returns.

    :param keep_facts: how many of the newest facts are kept.
    :param epoch: tells its history from that of any other store.
    """

    def __init__(self, keep_facts: int = 100_000, epoch: str = "memory") -> None:
        self._epoch = epoch
        self._sessions: dict[str, Session] = {}
        self._facts: deque[StoredFact] = deque(maxlen=keep_facts)
        self._shelves: dict[str, dict[str, bytes]] = {}
        self._offset = 0
        self._is_open = False

    def open(self) -> Deferred[list[Session]]:
        """Give every session that is kept."""
        self._is_open = True
        return succeed(list(self._sessions.values()))

    def save(self, session: Session, facts: Sequence[Fact]) -> Deferred[list[StoredFact]]:
        """Keep the session and add the facts."""
        if not self._is_open:
            return fail(StoreError("the store is not open"))
        self._sessions[session.id] = session
        return succeed(self._add(facts))

    def forget(self, session_id: str, facts: Sequence[Fact]) -> Deferred[list[StoredFact]]:
        """Drop a session and add the facts."""
        if not self._is_open:
            return fail(StoreError("the store is not open"))
        self._sessions.pop(session_id, None)
        return succeed(self._add(facts))

    def facts(self, after: int, limit: int) -> Deferred[list[StoredFact]]:
        """Give up to ``limit`` facts behind the offset ``after``, oldest first."""
        if not self._is_open:
            return fail(StoreError("the store is not open"))
        oldest = self._offset - len(self._facts) + 1
        start = max(0, after + 1 - oldest)
        return succeed(list(islice(self._facts, start, start + max(0, limit))))

    def history(self) -> Deferred[History]:
        """Say which facts are kept."""
        if not self._is_open:
            return fail(StoreError("the store is not open"))
        return succeed(History(self._epoch, self._offset - len(self._facts) + 1, self._offset))

    def shelf(self, name: str) -> MemoryShelf:
        """Give the rows of somebody's own."""
        return MemoryShelf(self._shelves.setdefault(name, {}), lambda: self._is_open)

    def close(self) -> Deferred[None]:
        """Take nothing more until the next ``open``."""
        self._is_open = False
        return succeed(None)

    def _add(self, facts: Sequence[Fact]) -> list[StoredFact]:
        stored = [StoredFact(offset, fact) for offset, fact in enumerate(facts, self._offset + 1)]
        self._offset += len(stored)
        self._facts.extend(stored)
        return stored


class MemoryShelf:
    """The :class:`sessiond.ports.Shelf` of such a store.

    :param is_open: says whether that takes anything.
    """

    def __init__(self, rows: dict[str, bytes], is_open: Callable[[], bool]) -> None:
        self._rows, self._is_open = rows, is_open

    def get(self, name: str) -> Deferred[bytes | None]:
        """Give a row."""
        return self._done(lambda: self._rows.get(name))

    def put(self, name: str, value: bytes) -> Deferred[None]:
        """Keep a row."""
        return self._done(lambda: self._rows.__setitem__(name, value))

    def remove(self, name: str) -> Deferred[None]:
        """Drop a row."""
        return self._done(partial(self._drop, name))

    def _drop(self, name: str) -> None:
        self._rows.pop(name, None)

    def _done(self, call: Callable[[], T]) -> Deferred[T]:
        return succeed(call()) if self._is_open() else fail(StoreError("the store is not open"))
