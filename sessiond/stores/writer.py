"""One thread that owns a SQLite connection: writes that wait at the same time share one sync of the disk."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from sessiond.core.errors import StoreError
from sessiond.stores.tables import Tables

GROUP = 50
"""How many writes share a transaction at most: beyond this a sync costs little, and everybody waits longer."""

MAX_WAITING = 10_000
"""How many tasks may wait. Only a disk that hangs brings so many together; then refusing is better than piling up."""

T = TypeVar("T")
Outcome = tuple[Deferred[Any], object, StoreError | None]

log = Logger()


@frozen(eq=False)
class _Task:
    """Something to be done in the thread; ``writes`` says that it belongs into a transaction."""

    call: Callable[[Tables], Any]
    done: Deferred[Any]
    writes: bool


class Writer:
    """Does what it is given in the order of the calls, which all come from the reactor's thread.

    :param connect: opens the file; called in the thread.
    """

    def __init__(self, reactor: IReactorFromThreads, connect: Callable[[], Tables]) -> None:
        self._reactor = reactor
        self._connect = connect
        self._queue: SimpleQueue[_Task] = SimpleQueue()
        self._taken: deque[_Task] = deque()
        self._waiting = 0
        self._closed: Deferred[None] | None = None
        # A daemon thread: a daemon that is ended without close loses nothing that was told, and does end.
        self._thread = Thread(target=self._run, name="sessiond-store", daemon=True)

    def start(self, first: Callable[[Tables], T]) -> Deferred[T]:
        """Start the thread, open the file and read with ``first``; if any of it fails, the thread ends.

        :raises StoreError: (in the Deferred) what ``connect`` or ``first`` raised.
        """
        opened = self._put(first, writes=False)
        self._thread.start()
        return opened

    def write(self, call: Callable[[Tables], T]) -> Deferred[T]:
        """Have ``call`` done in a transaction; fires once it is on the disk.

        :raises StoreError: (in the Deferred) it was rolled back, or too much waits already.
        """
        return self._put(call, writes=True)

    def read(self, call: Callable[[Tables], T]) -> Deferred[T]:
        """Have ``call`` done behind every write so far.

        :raises StoreError: (in the Deferred) it failed, or too much waits already.
        """
        return self._put(call, writes=False)

    def close(self) -> Deferred[None]:
        """Do what waits, cut the write-ahead log back into the file, close it and end the thread."""
        if self._closed is None:
            self._closed = Deferred()
            self._queue.put(_Task(_stop, Deferred(), writes=False))
        # Another Deferred for each caller, so that nobody can cancel it for the others.
        told: Deferred[None] = Deferred()
        self._closed.addCallback(told.callback)
        return told

    def _put(self, call: Callable[[Tables], T], writes: bool) -> Deferred[T]:
        if self._closed is not None:
            return fail(StoreError("the store is closed"))
        if self._waiting >= MAX_WAITING:
            return fail(StoreError(f"{self._waiting} saves wait for the disk already"))
        done: Deferred[T] = Deferred()
        self._waiting += 1
        self._queue.put(_Task(call, done, writes))
        return done

    # What follows runs in the thread, except for _tell and _ended.

    def _run(self) -> None:
        """Be the thread."""
        first = self._queue.get()
        tables = None
        try:
            tables = self._connect()
            self._report([(first.done, first.call(tables), None)])
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for the answer
            if tables is not None:
                tables.connection.close()
            self._reactor.callFromThread(self._ended, "", [(first.done, None, _store_error(error))])
            return
        while (group := self._take())[0].call is not _stop:
            self._report(self._written(tables, group) if group[0].writes else [_attempt(tables, group[0])])
        self._reactor.callFromThread(self._ended, _let_go(tables.connection), [])

    def _take(self) -> list[_Task]:
        """Wait for work; take writes that wait in a row, ``GROUP`` at most, or one task of another kind."""
        taken = self._taken
        if not taken:
            taken.append(self._queue.get())
        while len(taken) < GROUP:
            try:
                taken.append(self._queue.get_nowait())
            except Empty:
                break
        group = [taken.popleft()]
        while taken and taken[0].writes and group[0].writes:
            group.append(taken.popleft())
        return group

    def _written(self, tables: Tables, group: list[_Task]) -> list[Outcome]:
        """Write a group in one transaction: each task stands or falls alone, unless the transaction itself fails."""
        connection = tables.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_attempt_apart(tables, task) for task in group]
            _attempt_apart(tables, _Task(Tables.prune, Deferred(), writes=True))
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - this thread must live on: everybody waits for it
            _roll_back(connection)
            return [(task.done, None, _store_error(error)) for task in group]
        return outcomes

    def _report(self, outcomes: list[Outcome]) -> None:
        """Bring outcomes to the reactor's thread, all in one call: each wakes the reactor."""
        self._reactor.callFromThread(self._tell, outcomes)

    def _tell(self, outcomes: Iterable[Outcome]) -> None:
        for done, result, error in outcomes:
            self._waiting -= 1
            if error is None:
                done.callback(result)
            else:
                done.errback(error)

    def _ended(self, trouble: str, last: list[Outcome]) -> None:
        """Collect the thread: it has nothing left to do but to return, so this does not wait for the disk."""
        self._thread.join()
        if trouble:
            log.warn("the store's write-ahead log was left as it is: {trouble}", trouble=trouble)
        closed = self._closed = self._closed or Deferred()
        self._tell(last)
        self._tell([(task.done, None, StoreError("the store could not be opened")) for task in self._left()])
        closed.callback(None)

    def _left(self) -> Iterator[_Task]:
        """Take out what nobody will do: there is something only where the file could not be opened."""
        while not self._queue.empty():
            task = self._queue.get_nowait()
            if task.call is not _stop:
                yield task


def _stop(_tables: Tables) -> None:
    """Mark the last task."""


def _attempt(tables: Tables, task: _Task) -> Outcome:
    try:
        return task.done, task.call(tables), None
    except Exception as error:  # noqa: BLE001 - this thread must live on: everybody waits for it
        return task.done, None, _store_error(error)


def _attempt_apart(tables: Tables, task: _Task) -> Outcome:
    """Do one task of a transaction so that, if it fails, the others stay.

    :raises Exception: what it failed with, where SQLite rolled the whole transaction back (a full disk, for one).
    """
    connection = tables.connection
    connection.execute("SAVEPOINT task")
    outcome = _attempt(tables, task)
    error = outcome[2]
    if error is not None:
        if not connection.in_transaction:
            raise error
        connection.execute("ROLLBACK TO task")
    connection.execute("RELEASE task")
    return outcome


def _store_error(error: Exception) -> StoreError:
    """Say what failed as the port does; a cause of SQLite's is kept for the log."""
    if isinstance(error, StoreError):
        return error
    told = StoreError(f"{type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is left of a transaction that failed, if SQLite has not done so itself."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _let_go(connection: sqlite3.Connection) -> str:
    """Close the file; what could not be moved out of the write-ahead log stays safe in there.

    :returns: what went wrong, for the log; empty if nothing did.
    """
    trouble = ""
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        trouble = str(error)
    connection.close()
    return trouble
