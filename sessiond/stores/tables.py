"""The SQL of sessions, facts and shelves, on one SQLite connection and in its thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from sessiond.core.facts import History, StoredFact
from sessiond.core.session import Session
from sessiond.stores.marker import Marker
from sessiond.stores.rows import FactRow, SessionRow, fact_of, session_of

PRUNE_ROWS = 1000
"""How many facts too many there may be, and how many one pruning takes away: its work is bounded."""

_PUT = """
    INSERT INTO sessions (id, service, pool, owner, state, slot, version, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET service = excluded.service, pool = excluded.pool, owner = excluded.owner,
        state = excluded.state, slot = excluded.slot, version = excluded.version, document = excluded.document
"""
_ADD = "INSERT INTO facts (type, session_id, service, owner, at, version, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
_FACTS = """
    SELECT "offset", type, session_id, service, owner, at, version, data FROM facts
    WHERE "offset" > ? ORDER BY "offset" LIMIT ?
"""
_SHELVE = """
    INSERT INTO shelves (shelf, name, value) VALUES (?, ?, ?)
    ON CONFLICT (shelf, name) DO UPDATE SET value = excluded.value
"""
_EPOCH = ("sessiond", "epoch")
# Two queries of one row each: asked for both at once, SQLite reads the whole table.
_SPAN = 'SELECT (SELECT min("offset") FROM facts), (SELECT max("offset") FROM facts)'


class Tables:
    """What is in an open file. Writing calls belong into a transaction.

    :param keep_facts: how many of the newest facts pruning leaves.
    """

    def __init__(self, connection: sqlite3.Connection, keep_facts: int) -> None:
        self.connection = connection
        self._keep_facts = keep_facts
        self._epoch = ""
        self._marker: Marker | None = None

    def sessions(self) -> list[Session]:
        """Read every session, oldest row first.

        :raises sessiond.core.errors.StoreError: one of them can't be read.
        """
        found = self.connection.execute("SELECT id, document FROM sessions ORDER BY rowid")
        return [session_of(session_id, document) for session_id, document in found]

    def put(self, session: SessionRow, facts: Sequence[FactRow]) -> list[int]:
        """Write a session and its facts; give the offsets of the facts."""
        self.connection.execute(_PUT, session.values())
        return self._add(facts)

    def drop(self, session_id: str, facts: Sequence[FactRow]) -> list[int]:
        """Delete a session and write facts; give their offsets."""
        self.connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
        return self._add(facts)

    def facts(self, after: int, limit: int) -> list[StoredFact]:
        """Read up to ``limit`` facts behind the offset ``after``, oldest first."""
        found = self.connection.execute(_FACTS, (after, max(0, limit)))
        return [fact_of(offset, FactRow(*columns)) for offset, *columns in found]

    def begin_history(self, marker: Marker) -> None:
        """Find out whether this is the history that went on here last; if not, begin another epoch.

        :param marker: the file that says how far it had come.
        """
        mark, kept = marker.read(), self.row(*_EPOCH)
        newest = self.history().newest
        gone_back = mark is not None and (kept is None or (mark.epoch == kept.decode() and newest < mark.newest))
        if kept is None or gone_back:
            kept = self.connection.execute("SELECT lower(hex(randomblob(8)))").fetchone()[0].encode()
            self.put_row(*_EPOCH, kept)
        self._epoch, self._marker = kept.decode(), marker
        marker.write(self._epoch, newest)

    def history(self) -> History:
        """Say which facts there are."""
        oldest, newest = self.connection.execute(_SPAN).fetchone()
        given = self.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'facts'").fetchone()
        last = max(newest or 0, given[0] if given else 0)
        return History(self._epoch, last + 1 if oldest is None else oldest, last)

    def row(self, shelf: str, name: str) -> bytes | None:
        """Read a row of somebody's own."""
        found = self.connection.execute("SELECT value FROM shelves WHERE shelf = ? AND name = ?", (shelf, name))
        return next((bytes(value) for (value,) in found), None)

    def put_row(self, shelf: str, name: str, value: bytes) -> None:
        """Write a row of somebody's own."""
        self.connection.execute(_SHELVE, (shelf, name, value))

    def drop_row(self, shelf: str, name: str) -> None:
        """Delete a row of somebody's own."""
        self.connection.execute("DELETE FROM shelves WHERE shelf = ? AND name = ?", (shelf, name))

    def prune(self) -> None:
        """Delete the oldest facts if there are many too many, ``2 * PRUNE_ROWS`` at most."""
        oldest, newest = self.connection.execute(_SPAN).fetchone()
        if newest is None or newest - oldest + 1 < self._keep_facts + PRUNE_ROWS:
            return
        # Offsets have no gaps: those of a transaction that was rolled back are given again.
        last = min(newest - self._keep_facts, oldest + 2 * PRUNE_ROWS - 1)
        self.connection.execute('DELETE FROM facts WHERE "offset" <= ?', (last,))

    def _add(self, facts: Sequence[FactRow]) -> list[int]:
        offsets = []
        for fact in facts:
            added = self.connection.execute(_ADD, fact.values())
            offsets.append(int(added.lastrowid or 0))
        if offsets and self._marker is not None:
            self._marker.passed(self._epoch, offsets[-1])
        return offsets
