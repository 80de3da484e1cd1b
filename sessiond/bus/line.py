"""What waits for a client of the feed that is slower than what happens: bounded, and told when it is too much."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from sessiond.bus.topics import Told

MOST_BYTES, MOST_EVENTS = 1 << 20, 1000
"""How much may wait, whichever comes first."""


class Line:
    """The :class:`sessiond.bus.topics.Ear` of a client whose connection says whether it takes bytes.

    :param form: writes an event as this client hears it.
    :param write: sends bytes, or holds them in the connection until that pauses.
    :param overflow: is called once, when more waits than may; nothing is told after that.
    """

    def __init__(
        self, form: Callable[[Told], bytes], write: Callable[[bytes], object], overflow: Callable[[], object]
    ) -> None:
        self._form, self._write, self._overflow = form, write, overflow
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._refuses = self._is_over = False
        self._ready: Deferred[None] | None = None

    def tell(self, told: Told) -> None:
        """Send an event, or keep it for when the client takes bytes."""
        if self._is_over:
            return
        written = told.form(self._form)
        if not self._refuses:
            self._write(written)
            return
        self._waiting.append(written)
        self._waiting_bytes += len(written)
        if len(self._waiting) > MOST_EVENTS or self._waiting_bytes > MOST_BYTES:
            self.end()
            self._overflow()

    def ready(self) -> Deferred[None]:
        """Fire once nothing waits."""
        if not self._refuses:
            return succeed(None)
        if self._ready is None:
            self._ready = Deferred(self._forget)
        return self._ready

    def _forget(self, _: Deferred[None]) -> None:
        self._ready = None

    def refuses(self) -> None:
        """The client takes no bytes now."""
        self._refuses = True

    def takes(self) -> None:
        """The client takes bytes again: what waits comes first."""
        self._refuses = False
        while self._waiting and not self._refuses:
            written = self._waiting.popleft()
            self._waiting_bytes -= len(written)
            self._write(written)
        if not self._refuses and self._ready is not None:
            ready, self._ready = self._ready, None
            ready.callback(None)

    def end(self) -> None:
        """Tell nothing more."""
        self._is_over = True
        self._waiting.clear()
        self._waiting_bytes = 0
