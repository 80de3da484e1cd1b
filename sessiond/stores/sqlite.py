"""The embedded store: one SQLite file in the state directory, nothing to install."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from sessiond.core.errors import StoreError
from sessiond.core.facts import Fact, History, StoredFact
from sessiond.core.session import Session
from sessiond.stores.marker import Marker
from sessiond.stores.opening import connect, schema_steps
from sessiond.stores.rows import fact_row_of, row_of
from sessiond.stores.tables import Tables
from sessiond.stores.writer import Writer

T = TypeVar("T")


class Call(Protocol):
    """Has something done in the file's thread."""

    def __call__(self, call: Callable[[Tables], T]) -> Deferred[T]:
        """Give what it comes to."""


class SqliteStore:
    """Keeps sessions in a file: durable when told, in groups that share one sync of the disk.

    The file and its companions (``-wal``, ``-shm``, ``.history``, backups as ``NAME.schema-N``) have mode 0600. One
    daemon at a time may have it open; whoever starts the store sees to that.

    :param path: the file; its folder exists.
    :param keep_facts: how many of the newest facts are sure to be kept; there may be a thousand more.
    """

    def __init__(self, path: str | os.PathLike[str], reactor: IReactorFromThreads, keep_facts: int = 100_000) -> None:
        self._path = Path(path)
        self._reactor = reactor
        self._keep_facts = keep_facts
        self._writer: Writer | None = None

    def open(self) -> Deferred[list[Session]]:
        """Make or upgrade the file, and give every session in it."""
        if self._writer is not None:
            return fail(StoreError(f"{self._path} is open already"))
        self._writer = Writer(self._reactor, self._connect)
        return self._writer.start(Tables.sessions).addErrback(self._not_opened)

    def save(self, session: Session, facts: Sequence[Fact]) -> Deferred[list[StoredFact]]:
        """Keep the session and add the facts."""
        try:
            row, rows = row_of(session), [fact_row_of(fact) for fact in facts]
        except StoreError as error:
            return fail(error)
        kept = tuple(facts)
        return self._write(lambda tables: _stored(tables.put(row, rows), kept))

    def forget(self, session_id: str, facts: Sequence[Fact]) -> Deferred[list[StoredFact]]:
        """Drop a session and add the facts."""
        try:
            rows = [fact_row_of(fact) for fact in facts]
        except StoreError as error:
            return fail(error)
        kept = tuple(facts)
        return self._write(lambda tables: _stored(tables.drop(session_id, rows), kept))

    def facts(self, after: int, limit: int) -> Deferred[list[StoredFact]]:
        """Give up to ``limit`` facts behind the offset ``after``, oldest first; saves called before are in."""
        return self._read(lambda tables: tables.facts(after, limit))

    def history(self) -> Deferred[History]:
        """Say which facts are kept, saves called before included."""
        return self._read(Tables.history)

    def shelf(self, name: str) -> SqliteShelf:
        """Give the rows of somebody's own."""
        return SqliteShelf(name, self._read, self._write)

    def close(self) -> Deferred[None]:
        """Finish the saves that wait, put everything into the one file and let go of it."""
        if self._writer is None:
            return succeed(None)
        return self._writer.close().addCallback(self._let_go, self._writer)

    def _connect(self) -> Tables:
        tables = Tables(connect(self._path, schema_steps()), self._keep_facts)
        tables.begin_history(Marker(self._path))
        return tables

    def _let_go(self, _: None, writer: Writer) -> None:
        """Have the next ``open`` begin anew."""
        if self._writer is writer:
            self._writer = None

    def _not_opened(self, failure: Failure) -> Failure:
        """Have the next ``open`` try again."""
        self._writer = None
        return failure

    def _read(self, call: Callable[[Tables], T]) -> Deferred[T]:
        return fail(StoreError("the store is not open")) if self._writer is None else self._writer.read(call)

    def _write(self, call: Callable[[Tables], T]) -> Deferred[T]:
        return fail(StoreError("the store is not open")) if self._writer is None else self._writer.write(call)


class SqliteShelf:
    """The :class:`sessiond.ports.Shelf` of such a store.

    :param read: has something read behind every write so far; ``write`` has it done in a transaction.
    """

    def __init__(self, name: str, read: Call, write: Call) -> None:
        self._name, self._read, self._write = name, read, write

    def get(self, name: str) -> Deferred[bytes | None]:
        """Give a row."""
        return self._read(lambda tables: tables.row(self._name, name))

    def put(self, name: str, value: bytes) -> Deferred[None]:
        """Keep a row."""
        return self._write(lambda tables: tables.put_row(self._name, name, value))

    def remove(self, name: str) -> Deferred[None]:
        """Drop a row."""
        return self._write(lambda tables: tables.drop_row(self._name, name))


def _stored(offsets: list[int], facts: Sequence[Fact]) -> list[StoredFact]:
    return [StoredFact(offset, fact) for offset, fact in zip(offsets, facts, strict=True)]
