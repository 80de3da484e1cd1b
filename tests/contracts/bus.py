"""What every bus does."""

from collections.abc import Callable

import pytest

from sessiond.core.facts import CloudEvent, Fact, FactType, StoredFact
from sessiond.ports import Bus
from tests.reactor import LoggedFailures


class Unwilling(Exception):
    """What a listener raises."""


def stored(offset: int) -> StoredFact:
    """Make a fact that was saved."""
    return StoredFact(offset, Fact(FactType.READY, "clock-1", "clock", "ada", 10.0, offset))


class BusContract:
    """The port ``Bus``. A subclass has a fixture ``bus``."""

    @pytest.fixture
    def bus(self) -> Bus:
        """Make the subject."""
        raise NotImplementedError

    def test_tells_in_order(self, bus: Bus) -> None:
        """Every listener is told every fact, in order."""
        one: list[StoredFact] = []
        two: list[StoredFact] = []
        bus.subscribe(one.append)
        bus.subscribe(two.append)
        bus.publish([stored(1), stored(2)])
        bus.publish([])
        bus.publish([stored(3)])
        assert one == two == [stored(1), stored(2), stored(3)]

    def test_tells_from_now_on(self, bus: Bus) -> None:
        """A listener is not told what was published before it listened."""
        told: list[StoredFact] = []
        bus.publish([stored(1)])
        bus.subscribe(told.append)
        bus.publish([stored(2)])
        assert told == [stored(2)]

    def test_stops(self, bus: Bus) -> None:
        """Who has stopped listening is told nothing more; stopping twice does no harm."""
        told: list[StoredFact] = []
        stop = bus.subscribe(told.append)
        bus.publish([stored(1)])
        stop()
        stop()
        bus.publish([stored(2)])
        assert told == [stored(1)]

    def test_one_function_twice(self, bus: Bus) -> None:
        """A function that listens twice is told twice, and each of the two stops alone."""
        told: list[StoredFact] = []
        stop = bus.subscribe(told.append)
        bus.subscribe(told.append)
        bus.publish([stored(1)])
        stop()
        bus.publish([stored(2)])
        assert told == [stored(1), stored(1), stored(2)]

    def test_raising_listener(self, bus: Bus, logged_failures: LoggedFailures) -> None:
        """A listener that raises is logged, harms no other, and is told the next fact too."""
        told: list[int] = []

        def unwilling(fact: StoredFact) -> None:
            told.append(-fact.offset)
            raise Unwilling

        bus.subscribe(unwilling)
        bus.subscribe(lambda fact: told.append(fact.offset))
        bus.publish([stored(1), stored(2)])
        assert told == [-1, 1, -2, 2]
        assert len(logged_failures.take(Unwilling)) == 2

    def test_stops_within_a_call(self, bus: Bus) -> None:
        """A listener may stop itself and others while it is told; those are not told even this fact any more."""
        told: list[str] = []
        stops: list[Callable[[], None]] = []

        def first(fact: StoredFact) -> None:
            told.append(f"first {fact.offset}")
            for stop in stops:
                stop()

        stops.append(bus.subscribe(first))
        stops.append(bus.subscribe(lambda fact: told.append(f"second {fact.offset}")))
        bus.subscribe(lambda fact: told.append(f"third {fact.offset}"))
        bus.publish([stored(1), stored(2)])
        assert told == ["first 1", "third 1", "third 2"]

    def test_subscribes_within_a_call(self, bus: Bus) -> None:
        """A listener that comes while a fact is told is told the next."""
        told: list[StoredFact] = []

        def bringing(fact: StoredFact) -> None:
            if fact.offset == 1:
                bus.subscribe(told.append)

        bus.subscribe(bringing)
        bus.publish([stored(1), stored(2)])
        assert told == [stored(2)]

    def test_publishes_within_a_call(self, bus: Bus) -> None:
        """What is published while a fact is told comes behind it, for every listener."""
        told: list[int] = []

        def echoing(fact: StoredFact) -> None:
            if fact.offset == 1:
                bus.publish([stored(3)])

        bus.subscribe(echoing)
        bus.subscribe(lambda fact: told.append(fact.offset))
        bus.publish([stored(1), stored(2)])
        assert told == [1, 2, 3]

    def test_events(self, bus: Bus) -> None:
        """Every listener is told each event of a feed, in order, until it stops."""
        one, two = list[tuple[str, str]](), list[tuple[str, str]]()
        stop = bus.listen(lambda feed, event: one.append((feed, event.id)))
        bus.listen(lambda feed, event: two.append((feed, event.id)))
        bus.emit("news", CloudEvent("1", "/a", "t"))
        stop()
        bus.emit("jobs", CloudEvent("2", "/a", "t"))
        assert one == [("news", "1")]
        assert two == [("news", "1"), ("jobs", "2")]
