"""Sends every saved fact to RabbitMQ, at least once, in order: from the store, where its place is kept too."""

from __future__ import annotations

import json
from collections import deque
from typing import Protocol

from attrs import define, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond.bus.amqp.messages import message_of
from sessiond.bus.amqp.seam import NotTaken, Outlet, Wire
from sessiond.core.errors import StoreError
from sessiond.core.facts import StoredFact
from sessiond.ports import Clock, Shelf

WINDOW = 100
"""How many facts may be sent and not yet confirmed."""

PAGE = 500
"""How many facts are read from the store at once, and about how many wait in memory."""

CONFIRM_S = 10.0
"""How long a confirmation may take: a publication into a dead connection succeeds, so only its absence shows."""

AGAIN_S = 1.0
"""How long a fact that was refused waits, and a store that failed."""

SAVE_EACH, SAVE_S = 100, 1.0
"""The place is saved after so many confirmations, or so long after the first: what a crash makes go out twice."""

CURSOR = "sent"

log = Logger()


class Facts(Protocol):
    """The part of a store that is read here."""

    def facts(self, after: int, limit: int) -> Deferred[list[StoredFact]]:
        """As :meth:`sessiond.ports.Store.facts`."""


@define
class Flight:
    """A fact that was handed to the server.

    :ivar sent_at: epoch seconds; ``None`` while it waits to be sent again.
    """

    stored: StoredFact
    outlet: Outlet
    sent_at: float | None
    is_confirmed: bool = False


@frozen
class Count:
    """What has become of the facts so far.

    :ivar unsent: not confirmed yet; ``dropped`` by the store before they could be sent.
    :ivar unfit: can't be written as messages, and were left out.
    """

    unsent: int = 0
    sent: int = 0
    dropped: int = 0
    unfit: int = 0


@define
class _Counting:
    sent: int = 0
    dropped: int = 0
    unfit: int = 0


class Outbox:
    """The work of the link that facts leave by (:class:`sessiond.bus.amqp.seam.Work`).

    A fact counts as sent when the server has confirmed it. What was not confirmed when a connection ends is sent again
    by the next one, with the same id. The place up to which all was confirmed is a row of ``shelf``, with the epoch of
    the history that it counts in: a place in another history means nothing.

    :param source: which daemon the events come from.
    """

    def __init__(self, facts: Facts, shelf: Shelf, clock: Clock, exchange: str, epoch: str, source: str) -> None:
        self._facts, self._shelf, self._clock = facts, shelf, clock
        self._exchange, self._epoch, self._source = exchange, epoch, source
        self._counted = _Counting()
        self._wire: Wire | None = None
        self._outlet: Outlet | None = None
        # Offsets that only grow: confirmed and that is saved, confirmed, read, known to be there.
        self._saved = self._confirmed = self._read = self._newest = 0
        self._knows_start = False
        self._pending: deque[StoredFact] = deque()
        self._flights: dict[int, Flight] = {}
        self._attempts: dict[int, int] = {}
        self._is_reading, self._is_saving, self._is_pumping, self._has_more = False, False, False, False
        self._reader: IDelayedCall | None = None
        self._watch: IDelayedCall | None = None
        self._saver: IDelayedCall | None = None
        self._again: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []
        self._is_open = False

    @property
    def count(self) -> Count:
        """Say what has become of the facts."""
        counted = self._counted
        unsent = max(0, self._newest - self._confirmed)
        return Count(unsent, counted.sent, counted.dropped, counted.unfit)

    async def open(self) -> None:
        """Find the place, once the store is open.

        :raises sessiond.core.errors.StoreError: the store can't tell it.
        """
        row = await self._shelf.get(CURSOR)
        place = None if row is None else json.loads(row)
        if place is not None and place["epoch"] == self._epoch:
            self._saved = self._confirmed = self._read = int(place["offset"])
            self._knows_start = True
        elif place is not None:
            log.warn("the store's history is another one: all facts that it holds go out to RabbitMQ")
        self._newest = max(self._newest, await newest(self._facts, self._read))
        self._is_open = True
        self._pump()

    def hear(self, stored: StoredFact) -> None:
        """Take note of a fact that was saved."""
        behind = self._newest
        self._newest = max(behind, stored.offset)
        if not self._is_open or self._outlet is None:
            return
        if stored.offset == self._read + 1 and not self._is_reading and len(self._pending) < PAGE:
            # What the store would give, without asking it.
            self._pending.append(stored)
            self._read, self._knows_start = stored.offset, True
        self._pump()

    async def begin(self, wire: Wire) -> None:
        """Send over this connection."""
        outlet = await wire.outlet(self._exchange)
        self._wire, self._outlet = wire, outlet
        self._pump()

    def lost(self) -> None:
        """Wait for the next connection with what was not confirmed."""
        self._wire = self._outlet = None
        unconfirmed = [flight.stored for flight in self._flights.values() if not flight.is_confirmed]
        self._pending.extendleft(reversed(unconfirmed))
        self._flights.clear()
        self._attempts = {offset: count for offset, count in self._attempts.items() if offset > self._confirmed}
        for timer in (self._watch, self._again):
            _stop(timer)
        self._watch = self._again = None
        self._tell_drained()

    def drained(self) -> Deferred[None]:
        """Wait until nothing is unsent, or the connection is lost."""
        if self._outlet is None or not self._unsent:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._drained.append(waiting)
        return waiting

    async def close(self) -> None:
        """Save the place and stop."""
        self._is_open = False
        for timer in (self._watch, self._again, self._reader, self._saver):
            _stop(timer)
        self._watch = self._again = self._reader = self._saver = None
        if self._confirmed > self._saved:
            try:
                await self._shelf.put(CURSOR, self._place())
            except StoreError as error:
                log.warn("what went out to RabbitMQ can't be recorded, and goes out again: {why}", why=error)

    @property
    def _unsent(self) -> bool:
        return self._newest > self._confirmed

    def _pump(self) -> None:
        """Send what may be sent, and see that there is more to send."""
        self._has_more = True
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            # Whatever answers at once calls this again from within.
            while self._has_more and self._is_open:
                self._has_more = False
                self._send_and_fetch()
        finally:
            self._is_pumping = False

    def _send_and_fetch(self) -> None:
        while self._outlet is not None and self._pending and len(self._flights) < WINDOW:
            self._send(self._pending.popleft(), self._outlet)
        if self._outlet is not None and len(self._pending) < WINDOW and self._newest > self._read:
            self._fetch()

    def _send(self, stored: StoredFact, outlet: Outlet) -> None:
        attempt = self._attempts.get(stored.offset, 0) + 1
        try:
            confirmed = outlet.publish(message_of(stored, self._epoch, self._source, attempt))
        except Exception:  # noqa: BLE001 - whatever is wrong with one fact, those behind it must go out
            log.failure("fact {offset} can't be written as a message and is left out", offset=stored.offset)
            self._counted.unfit += 1
            self._flights[stored.offset] = Flight(stored, outlet, None, is_confirmed=True)
            self._settle()
            return
        self._attempts[stored.offset] = attempt
        self._flights[stored.offset] = Flight(stored, outlet, self._clock.now())
        if self._watch is None:
            self._watch = self._clock.call_later(CONFIRM_S, self._look)
        confirmed.addCallbacks(
            self._taken, self._not_taken, callbackArgs=(stored.offset, outlet), errbackArgs=(stored.offset, outlet)
        )

    def _taken(self, _: None, offset: int, outlet: Outlet) -> None:
        flight = self._flights.get(offset)
        if flight is None or flight.outlet is not outlet or flight.is_confirmed:
            return  # of a connection before this one, after whose loss it was sent again
        flight.is_confirmed = True
        self._counted.sent += 1
        self._settle()
        self._pump()

    def _not_taken(self, failure: Failure, offset: int, outlet: Outlet) -> None:
        flight = self._flights.get(offset)
        if flight is None or flight.outlet is not outlet or not failure.check(NotTaken):
            return  # the connection is lost, and that is told by the link
        flight.sent_at = None
        if self._again is None:
            log.warn("RabbitMQ refuses fact {offset}, as a full queue makes it do: it is sent again", offset=offset)
            self._again = self._clock.call_later(AGAIN_S, self._resend)

    def _resend(self) -> None:
        self._again = None
        refused = [flight.stored for flight in self._flights.values() if flight.sent_at is None]
        for stored in refused:
            if self._outlet is not None and not self._flights[stored.offset].is_confirmed:
                self._send(stored, self._outlet)

    def _settle(self) -> None:
        """Move the place on as far as all is confirmed."""
        before = self._confirmed
        while self._flights:
            offset, flight = next(iter(self._flights.items()))
            if not flight.is_confirmed:
                break
            del self._flights[offset]
            self._attempts.pop(offset, None)
        # Not the last one of these: behind it there may be some that were confirmed before a connection was lost.
        waiting = next(iter(self._flights), self._pending[0].offset if self._pending else self._read + 1)
        self._confirmed = max(before, waiting - 1)
        if self._confirmed == before:
            return
        if self._confirmed - self._saved >= SAVE_EACH:
            self._save()
        elif self._saver is None and self._is_open:
            self._saver = self._clock.call_later(SAVE_S, self._save_later)
        if not self._unsent:
            self._tell_drained()

    def _save_later(self) -> None:
        self._saver = None
        self._save()

    def _save(self) -> None:
        if self._is_saving or not self._is_open or self._confirmed == self._saved:
            return
        self._is_saving = True
        place = self._confirmed
        self._shelf.put(CURSOR, self._place()).addCallbacks(lambda _: self._is_saved(place), self._is_not_saved)

    def _place(self) -> bytes:
        return json.dumps({"epoch": self._epoch, "offset": self._confirmed}).encode()

    def _is_saved(self, place: int) -> None:
        self._is_saving = False
        self._saved = max(self._saved, place)
        if self._confirmed > self._saved and self._saver is None and self._is_open:
            self._saver = self._clock.call_later(SAVE_S, self._save_later)

    def _is_not_saved(self, failure: Failure) -> None:
        self._is_saving = False
        log.warn("what went out to RabbitMQ can't be recorded: {why}", why=failure.getErrorMessage())
        if self._saver is None and self._is_open:
            self._saver = self._clock.call_later(SAVE_S, self._save_later)

    def _fetch(self) -> None:
        if self._is_reading:
            return
        self._is_reading = True
        self._facts.facts(self._read, PAGE).addCallbacks(self._got, self._got_none)

    def _got(self, found: list[StoredFact]) -> None:
        self._is_reading = False
        if not found:
            # What was told is not there any more, or never was; the next fact has it looked for again.
            self._newest = self._read
        else:
            dropped = found[0].offset - self._read - 1
            if dropped and self._knows_start:
                self._counted.dropped += dropped
                log.error(
                    "{count} facts are lost to RabbitMQ: the store gave them up before they could be sent, offsets"
                    " {first} to {last}",
                    count=dropped,
                    first=self._read + 1,
                    last=found[0].offset - 1,
                )
            self._knows_start = True
            self._pending.extend(found)
            self._read = found[-1].offset
            self._newest = max(self._newest, self._read)
        self._pump()

    def _got_none(self, failure: Failure) -> None:
        log.warn("facts for RabbitMQ can't be read: {why}", why=failure.getErrorMessage())
        if self._is_open:
            self._reader = self._clock.call_later(AGAIN_S, self._fetch_again)
        else:
            self._is_reading = False

    def _fetch_again(self) -> None:
        self._reader, self._is_reading = None, False
        self._pump()

    def _look(self) -> None:
        """See whether the oldest fact in flight waits too long."""
        self._watch = None
        wire = self._wire
        waiting = (flight.sent_at for flight in self._flights.values() if not flight.is_confirmed)
        sent = [at for at in waiting if at is not None]
        if wire is None or not sent:
            return
        now = self._clock.now()
        # A server that says it takes nothing owes no confirmation; heartbeats show whether it lives.
        since = now if wire.blocked is not None else max(min(sent), wire.unblocked_at)
        if now - since >= CONFIRM_S:
            wire.abort(f"does not confirm within {CONFIRM_S:.0f} s")
            return
        self._watch = self._clock.call_later(since + CONFIRM_S - now, self._look)

    def _tell_drained(self) -> None:
        waiting, self._drained = self._drained, []
        for one in waiting:
            one.callback(None)


def _stop(timer: IDelayedCall | None) -> None:
    if timer is not None and timer.active():
        timer.cancel()


async def newest(facts: Facts, after: int) -> int:
    """Find the offset of the newest fact with few small reads; ``after`` where there is none behind it."""
    low, step = after, 1
    while True:
        found = await facts.facts(low, 1)
        if not found:
            break
        low, step = found[0].offset, step * 2
        beyond = await facts.facts(low + step - 1, 1)
        if not beyond:
            return await _between(facts, low, low + step)
        low = beyond[0].offset
    return low


async def _between(facts: Facts, low: int, high: int) -> int:
    """Find it where ``low`` is there and nothing from ``high`` on."""
    while high - low > 1:
        middle = (low + high) // 2
        found = await facts.facts(middle - 1, 1)
        if found:
            low = found[0].offset
        else:
            high = middle
    return low
