"""Takes the messages of others in: a queue of our own for each feed, and each message as an event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sessiond.bus.amqp.messages import Received, event_of
from sessiond.bus.amqp.seam import Feed, Inlet, Lost, Wire
from sessiond.bus.cloudevents import NoEvent
from sessiond.bus.topics import GAP
from sessiond.core.facts import CloudEvent
from sessiond.ports import Clock, Entropy

LOOK_S = 10.0
"""How often it is seen to that each feed still has its exchange and its queue: a deleted exchange takes the binding
along and tells nobody."""

log = Logger()

Emit = Callable[[str, CloudEvent], object]
"""Takes an event of the feed of that name."""


@define
class Tap:
    """One feed as it is consumed now.

    :ivar good_at: when it last was known to be bound, epoch seconds; ``None`` before the first time.
    :ivar why: why it is not consumed at present.
    """

    feed: Feed
    inlet: Inlet | None = None
    good_at: float | None = None
    why: str = ""
    taken: int = 0
    unread: int = 0


@define
class _Numbering:
    """Makes ids for what has none: unique for this run of the daemon and among all."""

    nonce: str
    number: int = field(default=0)

    def next(self) -> str:
        self.number += 1
        return f"{self.nonce}-{self.number}"


class Inbox:
    """The work of the link that feeds come by (:class:`sessiond.bus.amqp.seam.Work`).

    A feed that can't be consumed, for want of a right or of an exchange, is told of in the log and tried again every
    :data:`LOOK_S`; the others go on. Behind each interruption the feed gets an event of type :data:`GAP` with the two
    instants between which its messages may be lost: its queue goes with the connection.

    :param source: which daemon tells of gaps.
    """

    def __init__(self, feeds: Sequence[Feed], emit: Emit, clock: Clock, entropy: Entropy, source: str) -> None:
        self._emit, self._clock, self._source = emit, clock, source
        self._ids = _Numbering(entropy.nonce())
        self.taps = tuple(Tap(feed) for feed in feeds)
        self._wire: Wire | None = None
        self._timer: IDelayedCall | None = None

    async def begin(self, wire: Wire) -> None:
        """Consume over this connection."""
        self._wire = wire
        for tap in self.taps:
            await self._open(tap, wire)
        self._timer = self._clock.call_later(LOOK_S, self._look, wire)

    def lost(self) -> None:
        """Go without until the next connection."""
        self._wire = None
        for tap in self.taps:
            tap.inlet = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    @property
    def is_whole(self) -> bool:
        """Say whether every feed is consumed."""
        return all(tap.inlet is not None and tap.inlet.is_open for tap in self.taps)

    async def _open(self, tap: Tap, wire: Wire) -> None:
        """Consume a feed, or take note why not.

        :raises Lost: the whole connection is gone.
        """
        try:
            inlet = await wire.inlet(tap.feed, lambda received: self._take(tap, received))
        except Lost as error:
            if wire.is_gone:
                raise
            self._tell(tap, str(error))
            return
        before, tap.good_at = tap.good_at, self._clock.now()
        tap.inlet, tap.why = inlet, ""
        if before is not None:
            self._tell_gap(tap, before, tap.good_at)

    def _look(self, wire: Wire) -> None:
        self._timer = None
        Deferred.fromCoroutine(self._look_at_all(wire)).addBoth(self._looked, wire)

    async def _look_at_all(self, wire: Wire) -> None:
        for tap in self.taps:
            if tap.inlet is not None:
                try:
                    if tap.inlet.is_open:
                        await tap.inlet.bind()
                        tap.good_at = self._clock.now()
                        continue
                    why = tap.inlet.why
                except Lost as error:
                    why = str(error)
                tap.inlet = None
                if wire.is_gone:
                    return
                self._tell(tap, why)
            await self._open(tap, wire)

    def _looked(self, outcome: object, wire: Wire) -> None:
        if isinstance(outcome, Failure) and not outcome.check(Lost):
            log.failure("looking after the feeds failed", outcome)
        if self._wire is wire and not wire.is_gone:
            self._timer = self._clock.call_later(LOOK_S, self._look, wire)

    def _take(self, tap: Tap, received: Received) -> None:
        tap.good_at = self._clock.now()
        try:
            event = event_of(received, tap.feed.exchange, tap.feed.name, self._ids.next())
        except NoEvent as error:
            tap.unread += 1
            log.warn(
                "feed {feed}: a message of {size} bytes, key {key}, is no event: {why}",
                feed=tap.feed.name,
                size=len(received.body),
                key=received.key,
                why=error,
            )
            return
        tap.taken += 1
        self._pass_on(tap, event)

    def _tell_gap(self, tap: Tap, since: float, until: float) -> None:
        log.warn("feed {feed}: messages of {gap:.1f} s may be lost", feed=tap.feed.name, gap=until - since)
        data = {"from": _instant(since), "to": _instant(until)}
        self._pass_on(tap, CloudEvent(self._ids.next(), self._source, GAP, tap.feed.name, until, data))

    def _pass_on(self, tap: Tap, event: CloudEvent) -> None:
        try:
            self._emit(tap.feed.name, event)
        except Exception:  # noqa: BLE001 - whoever takes it, the messages behind it are taken too
            log.failure("an event of the feed {feed} could not be passed on", feed=tap.feed.name)

    def _tell(self, tap: Tap, why: str) -> None:
        if why != tap.why:
            log.warn("feed {feed}: nothing comes from {exchange}: {why}", **_said(tap, why))
        tap.why = why


def _said(tap: Tap, why: str) -> dict[str, str]:
    return {"feed": tap.feed.name, "exchange": tap.feed.exchange, "why": why}


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
