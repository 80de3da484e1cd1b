"""A request's body that is passed on while it comes, and never held as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall

HELD_BYTES = 64 * 1024
"""How much is held for a taker that is not there yet, or waits. A client that hangs up before that is noticed."""


class Taker(Protocol):
    """Whoever takes a body."""

    def body_came(self, data: bytes) -> None:
        """The next part."""

    def body_ended(self) -> None:
        """That was all."""


class Connection(Protocol):
    """What an upload wants of the connection that it comes on."""

    def read_body(self, reads: bool) -> None:
        """Read on, or read nothing more for now."""

    def send_continue(self) -> None:
        """Say that the body may come (RFC 9110 section 10.1.1)."""

    def body_stalls(self) -> None:
        """Nothing came for too long."""

    def callLater(self, delay_s: float, call: Callable[[], object]) -> IDelayedCall:
        """Call back."""


class Upload:
    """One body, from the head of its request on.

    Its client has ``stall_s`` for each part, and any time for all of them. While nobody takes what came, that
    is not the client's fault, and no time runs.

    :param length: ``None`` where it is not said before.
    :param expects: whether the client waits for a word before it sends.
    :ivar heard: is called with each part that comes.
    """

    def __init__(self, connection: Connection, length: int | None, stall_s: float, *, expects: bool = False) -> None:
        self._connection, self.length, self._stall_s, self._expects = connection, length, stall_s, expects
        self._taker: Taker | None = None
        self._held = bytearray()
        self._timer: IDelayedCall | None = None
        self._paused = self._reads_not = self._dropped = False
        self.over = False
        self.heard: Callable[[], object] = lambda: None

    # -- what comes --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin the time of the first part, unless the client waits for a word."""
        self._look()

    def came(self, data: bytes) -> None:
        """Pass a part on, or hold it."""
        if self._dropped:
            return
        self.heard()
        self._held += data
        self._pass_on()

    def ended(self) -> None:
        """Take note that all has come."""
        self.over = True
        if self._reads_not:
            self._reads_not = False
            self._connection.read_body(True)
        self._pass_on()

    # -- what the taker wants ----------------------------------------------------------------------------------------

    def deliver(self, taker: Taker) -> None:
        """Give a taker what came, and what comes."""
        self._taker = taker
        if self._expects and not self.over:
            self._expects = False
            self._connection.send_continue()
        self._pass_on()

    def pause(self) -> None:
        """Give it nothing for now."""
        self._paused = True
        self._look()

    def resume(self) -> None:
        """Give it more."""
        self._paused = False
        self._pass_on()

    def drop(self) -> None:
        """Give nothing to anybody any more; what still comes is thrown away."""
        self._dropped, self._taker = True, None
        self._held.clear()
        self._stop()
        self._look()

    def _pass_on(self) -> None:
        taker = self._taker
        if taker is not None and not self._paused and self._held:
            data = bytes(self._held)
            self._held.clear()
            taker.body_came(data)
        if self._taker is not None and not self._paused and not self._held and self.over:
            taker, self._taker = self._taker, None
            taker.body_ended()
        self._look()

    def _look(self) -> None:
        """Read on or not, and let time run or not."""
        waits = not self._dropped and (len(self._held) >= HELD_BYTES or (self._paused and self._held != b""))
        self._stop()
        if not (self.over or self._dropped or waits or self._paused or self._expects):
            self._timer = self._connection.callLater(self._stall_s, self._connection.body_stalls)
        if waits is not self._reads_not and not self.over:
            self._reads_not = waits
            self._connection.read_body(not waits)

    def _stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
