"""Save, then speak: what happened to sessions goes into the store before any of it is told or done.

Each session has one save under way at most. What happens to it meanwhile goes into the next save whole, so facts stay
in order and a session that changes often costs the store little.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond.core.effects import Effect
from sessiond.core.errors import Code, Refused
from sessiond.core.facts import Fact, StoredFact
from sessiond.core.machine import Outcome
from sessiond.core.session import Session
from sessiond.ports import Bus, Clock, Store

RETRY_S = 1.0
"""How long after a failed save the next is tried."""

log = Logger()


@define
class _Entries:
    """What is not saved yet of one session; ``last`` is ``None`` once it is forgotten."""

    last: Session | None = None
    facts: list[Fact] = field(factory=list)
    effects: list[Effect] = field(factory=list)
    waiters: list[Deferred[Session | None]] = field(factory=list)
    saving: bool = False
    retry: IDelayedCall | None = None

    def take(self) -> _Entries:
        """Take all entries out for one save."""
        taken = _Entries(self.last, self.facts, self.effects, self.waiters)
        self.facts, self.effects, self.waiters = [], [], []
        return taken

    def put_back(self, taken: _Entries) -> None:
        """Put entries back in front, since their save failed."""
        self.facts[:0], self.effects[:0], self.waiters[:0] = taken.facts, taken.effects, taken.waiters


class Journal:
    """The way from a decided step to its effects.

    :param kept: takes a session's id and what the store now has of it, before anything else is done.
    :param perform: takes a session's id and one effect that may now be performed; it does not raise.
    :param undo: takes the id of a session whose very first save failed: it never was.
    :ivar saved: every session as the store has it; this is what may be told.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        kept: Callable[[str, Session | None], None],
        perform: Callable[[str, Effect], None],
        undo: Callable[[str], None],
    ) -> None:
        self._store, self._bus, self._clock = store, bus, clock
        self._tell_kept, self._perform, self._undo = kept, perform, undo
        self._open: dict[str, _Entries] = {}
        self._idle: list[Callable[[], None]] = []
        self.saved: dict[str, Session] = {}

    @property
    def busy(self) -> bool:
        """Say whether anything is not saved yet."""
        return bool(self._open)

    def unsaved(self) -> Set[str]:
        """Give the ids of the sessions of which not all is saved; a view, not to be kept."""
        return self._open.keys()

    @property
    def failing(self) -> int:
        """Say how many sessions wait for a store that failed them."""
        return sum(entries.retry is not None for entries in self._open.values())

    def record(self, session_id: str, outcome: Outcome) -> Deferred[Session | None]:
        """Have a step saved, then performed.

        :returns: fires with the session once it is saved and its effects were begun.
        :raises Refused: (in the Deferred) ``store-unavailable``, and only for a session that never was saved.
        """
        entries = self._open.setdefault(session_id, _Entries())
        entries.last = outcome.session
        entries.facts.extend(outcome.facts)
        entries.effects.extend(outcome.effects)
        waiter: Deferred[Session | None] = Deferred()
        entries.waiters.append(waiter)
        if entries.retry is not None:
            self._take_away(session_id, entries)
        elif not entries.saving:
            self._save(session_id, entries)
        return waiter

    def when_idle(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have ``call`` called whenever a session has nothing left to save; call the result to stop that."""
        self._idle.append(call)
        return lambda: self._idle.remove(call)

    def stop(self) -> None:
        """Try no failed save again."""
        for entries in self._open.values():
            if entries.retry is not None and entries.retry.active():
                entries.retry.cancel()

    def _save(self, session_id: str, entries: _Entries) -> None:
        batch = entries.take()
        entries.saving = True
        if not batch.facts and batch.last is not None and batch.last == self.saved.get(session_id):
            self._kept([], session_id, entries, batch)
            return
        if batch.last is None:
            done = self._store.forget(session_id, batch.facts)
        else:
            done = self._store.save(batch.last, batch.facts)
        done.addCallbacks(
            self._kept,
            self._not_kept,
            callbackArgs=(session_id, entries, batch),
            errbackArgs=(session_id, entries, batch),
        ).addErrback(lambda failure: log.failure("{session_id} was saved, but", failure, session_id=session_id))

    def _kept(self, stored: list[StoredFact], session_id: str, entries: _Entries, batch: _Entries) -> None:
        """Tell and do what the store has."""
        if batch.last is None:
            self.saved.pop(session_id, None)
        else:
            self.saved[session_id] = batch.last
        self._tell_kept(session_id, batch.last)
        for fact in batch.facts:
            log.info("{session} {fact} {data}", session=fact.session_id, fact=fact.type.value, data=dict(fact.data))
        self._bus.publish(stored)
        for effect in batch.effects:
            self._perform(session_id, effect)
        for waiter in batch.waiters:
            waiter.callback(batch.last)
        entries.saving = False
        if entries.facts or entries.effects or entries.waiters:
            self._save(session_id, entries)
        else:
            self._finish(session_id)

    def _finish(self, session_id: str) -> None:
        del self._open[session_id]
        for call in tuple(self._idle):
            call()

    def _not_kept(self, failure: Failure, session_id: str, entries: _Entries, batch: _Entries) -> None:
        """Undo a session that never was saved; save any other again and again."""
        log.error("{session_id} is not saved: {error}", session_id=session_id, error=failure.getErrorMessage())
        entries.saving = False
        entries.put_back(batch)
        if session_id not in self.saved:
            self._undo(session_id)
            self._finish(session_id)
            for waiter in entries.waiters:
                waiter.errback(Refused(Code.STORE_UNAVAILABLE))
            return
        entries.retry = self._clock.call_later(RETRY_S, self._retry, session_id, entries)
        self._take_away(session_id, entries)

    def _retry(self, session_id: str, entries: _Entries) -> None:
        entries.retry = None
        self._save(session_id, entries)

    def _take_away(self, session_id: str, entries: _Entries) -> None:
        """Perform what only ends something without the store: a full disk makes no program immortal."""
        now = [effect for effect in entries.effects if effect.takes_away]
        entries.effects = [effect for effect in entries.effects if not effect.takes_away]
        for effect in now:
            self._perform(session_id, effect)
