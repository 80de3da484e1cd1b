"""Measurements of the whole daemon, written as Prometheus reads them (text format 0.0.4).

Names are ``sessiond_NOUN_VERB_UNIT``. What is a count of sessions is derived from the session table each time it is
asked for; only what has happened is counted here, from the facts. Every label value is there from the start.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall

from sessiond.core.errors import LATER_S, Code
from sessiond.core.facts import FactType, StoredFact
from sessiond.core.session import Session
from sessiond.core.values import Reason, State
from sessiond.ports import Clock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TICK_S = 0.5
TICKS = 120
"""The reactor's lag is told as the worst of so many ticks: one minute, the usual time between two scrapes or less."""
BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STATUSES = ("2xx", "3xx", "4xx", "5xx")
RECENT_S = 300.0
"""For how long a refusal counts as a recent one."""
SPELL_S = 5.0
"""Refusals are kept by spells of so many seconds, so that no number of them costs memory."""

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""What stands behind the metric's name (``_bucket`` and its like, or nothing), labels and value."""


@frozen
class Traffic:
    """What all tunnels carry: how many are open now, and what was carried since the start."""

    open: int = 0
    up_bytes: int = 0
    down_bytes: int = 0


@frozen
class Outside:
    """How the bus stands beyond the daemon.

    :ivar standing: a word for it; empty where there is none.
    :ivar unsent: facts that are not confirmed yet; ``dropped`` are those that the store gave up before.
    :ivar feeds: for each feed, the messages that became events, and those that could not.
    """

    standing: str = ""
    unsent: int = 0
    sent: int = 0
    dropped: int = 0
    reconnects: int = 0
    feeds: Mapping[str, tuple[int, int]] = field(factory=dict)


@frozen
class Level:
    """How a pool stands."""

    count: int
    used: int
    queued: int


@frozen
class Now:
    """What is read off the daemon at the moment of a scrape.

    :ivar pools: by name.
    :ivar unsaved: how many sessions wait for a store that failed them.
    """

    sessions: Iterable[Session]
    pools: Mapping[str, Level]
    unsaved: int


@define
class Span:
    """A histogram of durations.

    :ivar counts: how many took at most so long, for each of :data:`BUCKETS_S`.
    """

    counts: list[int] = field(factory=lambda: [0] * len(BUCKETS_S))
    count: int = 0
    seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        """Add one."""
        self.counts = [count + (seconds <= limit) for count, limit in zip(self.counts, BUCKETS_S, strict=True)]
        self.count += 1
        self.seconds += seconds

    def samples(self, labels: Labels) -> Iterator[Sample]:
        """Give what a histogram consists of."""
        for limit, count in zip(BUCKETS_S, self.counts, strict=True):
            yield ("_bucket", {**labels, "le": str(limit)}, count)
        yield ("_bucket", {**labels, "le": "+Inf"}, self.count)
        yield ("_sum", labels, self.seconds)
        yield ("_count", labels, self.count)


class Meters:
    """Counts what happens and writes it down.

    :param services: the names of all services on offer.
    :param traffic: gives what the tunnels carry, ``outside`` how the bus stands.
    """

    def __init__(
        self,
        services: Iterable[str],
        clock: Clock,
        traffic: Callable[[], Traffic] = Traffic,
        outside: Callable[[], Outside] = Outside,
    ) -> None:
        self.outside = outside
        self._services, self._clock, self._traffic = tuple(services), clock, traffic
        self._offset = 0
        self._launches: Counter[str] = Counter()
        self._ends: Counter[tuple[str, str]] = Counter()
        self._answers: Counter[str] = Counter()
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._spells: deque[tuple[float, int]] = deque(maxlen=int(RECENT_S / SPELL_S))
        self._launched_at: dict[str, float] = {}
        self._spans: defaultdict[str, Span] = defaultdict(Span)
        self._lags: deque[float] = deque(maxlen=TICKS)
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to measure how late the reactor's calls come."""
        self._arm()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def hear(self, stored: StoredFact) -> None:
        """Take a fact from the bus; facts may come again, and are counted once."""
        if stored.offset <= self._offset:
            return
        self._offset = stored.offset
        fact = stored.fact
        if fact.type is FactType.LAUNCHING:
            self._launches[fact.service] += 1
            self._launched_at[fact.session_id] = fact.at
        elif fact.type in (FactType.READY, FactType.STOPPING, FactType.ENDED, FactType.FORGOTTEN):
            began = self._launched_at.pop(fact.session_id, None)
            if began is not None and fact.type is FactType.READY:
                self._spans[fact.service].observe(fact.at - began)
        if fact.type is FactType.ENDED:
            self._ends[fact.service, str(fact.data.get("reason"))] += 1

    def count_answer(self, status: int) -> None:
        """Take note of an answer over HTTP."""
        self._answers[f"{status // 100}xx"] += 1

    def count_refusal(self, service: str, code: Code) -> None:
        """Take note that a caller got no session of a service; what only another request would mend is not counted."""
        if code not in LATER_S:
            return
        self._refusals[service, code.value] += 1
        spell = self._clock.now() // SPELL_S * SPELL_S
        before = self._spells.pop()[1] if self._spells and self._spells[-1][0] == spell else 0
        self._spells.append((spell, before + 1))

    def recent_refusals(self) -> int:
        """Say how many callers got no session in the last five minutes."""
        since = self._clock.now() - RECENT_S
        return sum(count for spell, count in self._spells if spell > since)

    def text(self, now: Now) -> str:
        """Write everything down."""
        daemon = (*self._launching(), *self._daemon(now), *_bus(self.outside()))
        return "".join((*self._sessions(now), *_pools(now.pools), *daemon))

    def _arm(self) -> None:
        self._timer = self._clock.call_later(TICK_S, self._tick, self._clock.now() + TICK_S)

    def _tick(self, due: float) -> None:
        self._lags.append(max(0.0, self._clock.now() - due))
        self._arm()

    def _sessions(self, now: Now) -> Iterator[str]:
        found = Counter((session.service, session.state.value) for session in now.sessions)
        states, reasons = [state.value for state in State], [reason.value for reason in Reason]
        yield metric("sessions", "gauge", "Sessions by state.", self._split("state", states, found))
        ended = self._split("reason", reasons, self._ends)
        yield metric("sessions_ended_total", "counter", "Sessions that ended, by reason.", ended)
        codes = [code.value for code in LATER_S]
        refused = self._split("code", codes, self._refusals)
        yield metric("sessions_refused_total", "counter", "Sessions that callers did not get, by code.", refused)

    def _launching(self) -> Iterator[str]:
        names = sorted({*self._services, *self._launches, *self._spans})
        launches: list[Sample] = [("", {"service": name}, self._launches[name]) for name in names]
        yield metric("launches_begun_total", "counter", "Programs that were to be started.", launches)
        spans = [sample for name in names for sample in self._spans.get(name, Span()).samples({"service": name})]
        yield metric("launches_last_seconds", "histogram", "From the launch of a program until it was ready.", spans)

    def _daemon(self, now: Now) -> Iterator[str]:
        traffic = self._traffic()
        yield metric("tunnels_open", "gauge", "Tunnels that carry bytes now.", [("", {}, traffic.open)])
        carried: list[Sample] = [("", {"to": "program"}, traffic.up_bytes), ("", {"to": "client"}, traffic.down_bytes)]
        yield metric("tunnels_carried_bytes_total", "counter", "Bytes that tunnels have carried.", carried)
        answered: list[Sample] = [("", {"status": status}, self._answers[status]) for status in STATUSES]
        yield metric("requests_answered_total", "counter", "Answers over HTTP.", answered)
        yield metric("sessions_unsaved", "gauge", "Sessions that wait for a failing store.", [("", {}, now.unsaved)])
        lag = max(self._lags, default=0.0)
        yield metric("reactor_lag_seconds", "gauge", "The latest that a call came in the last minute.", [("", {}, lag)])

    def _split(self, label: str, values: Iterable[str], found: Mapping[tuple[str, str], int]) -> list[Sample]:
        """Give a sample for each service and each value of a label, those of bygone services too."""
        names = sorted({*self._services, *(service for service, _ in found)})
        return [
            ("", {"service": name, label: value}, found.get((name, value), 0)) for name in names for value in values
        ]


def _pools(pools: Mapping[str, Level]) -> Iterator[str]:
    for name, said in (("count", "Slots."), ("used", "Slots that are held."), ("queued", "Sessions in the queue.")):
        samples: list[Sample] = [("", {"pool": pool}, getattr(level, name)) for pool, level in pools.items()]
        yield metric(f"pool_slots_{name}", "gauge", said, samples)


def _bus(outside: Outside) -> Iterator[str]:
    for name, kind, said, value in (
        ("facts_unsent", "gauge", "Facts that RabbitMQ has not confirmed yet.", outside.unsent),
        ("facts_sent_total", "counter", "Facts that RabbitMQ has confirmed.", outside.sent),
        ("facts_dropped_total", "counter", "Facts that the store gave up before they were sent.", outside.dropped),
        ("reconnects_total", "counter", "Connections to RabbitMQ that were made again.", outside.reconnects),
    ):
        yield metric(f"bus_{name}", kind, said, [("", {}, value)])
    taken: list[Sample] = [
        ("", {"feed": feed, "read": read}, count)
        for feed, counts in outside.feeds.items()
        for read, count in zip(("yes", "no"), counts, strict=True)
    ]
    yield metric("feed_messages_taken_total", "counter", "Messages of feeds, by whether they could be read.", taken)


def metric(name: str, kind: str, said: str, samples: Iterable[Sample]) -> str:
    """Write one metric with all of its samples.

    :param name: without ``sessiond_``.
    """
    full = f"sessiond_{name}"
    lines = [f"# HELP {full} {said}", f"# TYPE {full} {kind}"]
    lines.extend(f"{full}{suffix}{_labels(labels)} {_number(value)}" for suffix, labels, value in samples)
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{written}}}" if written else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
