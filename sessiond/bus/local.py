"""The bus inside the daemon: saved facts to listeners in the same process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.logger import Logger

from sessiond.core.facts import StoredFact

Listener = Callable[[StoredFact], None]

log = Logger()


class LocalBus:
    """Calls every listener with every fact, at once and in order.

    Facts that a listener's own doing makes true meanwhile come behind the present ones. A listener is told of nothing
    any more as soon as it has stopped listening, also in the middle of a publication.
    """

    def __init__(self) -> None:
        # By a number of our own: one function may listen twice.
        self._listeners: dict[int, Listener] = {}
        self._number = 0
        self._pending: deque[StoredFact] = deque()
        self._is_telling = False

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have ``listener`` called with each fact from now on; call the result (again does no harm) to stop that."""
        self._number += 1
        number = self._number
        self._listeners[number] = listener

        def stop() -> None:
            self._listeners.pop(number, None)

        return stop

    def publish(self, facts: Sequence[StoredFact]) -> None:
        """Tell every listener."""
        self._pending.extend(facts)
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._pending:
                self._tell(self._pending.popleft())
        finally:
            self._is_telling = False

    def _tell(self, fact: StoredFact) -> None:
        for number in tuple(self._listeners):
            listener = self._listeners.get(number)
            if listener is None:
                continue
            try:
                listener(fact)
            except Exception:  # noqa: BLE001 - whatever it raises, the other listeners are told
                log.failure("a listener failed at fact {offset}", offset=fact.offset)
