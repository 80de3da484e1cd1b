"""The bus inside the daemon: saved facts, and events of others, to listeners in the same process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sessiond.core.facts import CloudEvent, StoredFact

T = TypeVar("T")
Listener = Callable[[StoredFact], None]

log = Logger()


class Listeners(Generic[T]):
    """Calls every listener with everything, at once and in order.

    What a listener's own doing brings meanwhile comes behind the present. A listener is told of nothing any more as
    soon as it has stopped listening, also in the middle of a publication.

    :param name: of one thing that is told, for the log.
    """

    def __init__(self, name: Callable[[T], str]) -> None:
        self._name = name
        # By a number of our own: one function may listen twice.
        self._listeners: dict[int, Callable[[T], None]] = {}
        self._number = 0
        self._pending: deque[T] = deque()
        self._is_telling = False

    def add(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Have ``listener`` called from now on; call the result (again does no harm) to stop that."""
        self._number += 1
        number = self._number
        self._listeners[number] = listener

        def stop() -> None:
            self._listeners.pop(number, None)

        return stop

    def tell(self, what: Sequence[T]) -> None:
        """Tell every listener."""
        self._pending.extend(what)
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._pending:
                self._tell(self._pending.popleft())
        finally:
            self._is_telling = False

    def _tell(self, one: T) -> None:
        for number in tuple(self._listeners):
            listener = self._listeners.get(number)
            if listener is None:
                continue
            try:
                listener(one)
            except Exception:  # noqa: BLE001 - whatever it raises, the other listeners are told
                log.failure("a listener failed at {what}", what=self._name(one))


class LocalBus:
    """The :class:`sessiond.ports.Bus` that needs nothing else."""

    def __init__(self) -> None:
        self._facts: Listeners[StoredFact] = Listeners(lambda stored: f"fact {stored.offset}")
        self._events: Listeners[tuple[str, CloudEvent]] = Listeners(lambda told: f"an event of {told[0]}")

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have ``listener`` called with each fact from now on; call the result (again does no harm) to stop that."""
        return self._facts.add(listener)

    def publish(self, facts: Sequence[StoredFact]) -> None:
        """Tell every listener."""
        self._facts.tell(facts)

    def listen(self, listener: Callable[[str, CloudEvent], None]) -> Callable[[], None]:
        """Have ``listener`` called with each event of a feed and the feed's name; call the result to stop that."""
        return self._events.add(lambda told: listener(*told))

    def emit(self, feed: str, event: CloudEvent) -> Deferred[None]:
        """Tell every listener."""
        self._events.tell([(feed, event)])
        return succeed(None)
