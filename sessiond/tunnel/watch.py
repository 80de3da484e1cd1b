"""Time in a tunnel: when a client is pinged, and who has been silent or stuck for too long."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from zope.interface import implementer

from sessiond.ports import Clock, RelayLimits

LATE_S = 5.0
"""A timer that comes later than this says that the daemon itself stood still; nobody is blamed for that time."""


class Fault(Enum):
    """What ends a tunnel by time alone."""

    SILENT = "the client did not answer a ping"
    CLIENT_STUCK = "the client takes no bytes"
    ENDPOINT_STUCK = "the application takes no bytes"


@implementer(IPushProducer)
class Tap:
    """One side as the producer of the other: turned off while the other refuses bytes.

    :ivar refused_at: since when (epoch seconds), ``None`` while they are taken.
    :ivar held: it is off although nobody refuses: there is no other side yet.
    """

    def __init__(self, clock: Clock, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._clock, self._pause, self._resume = clock, pause, resume
        self.refused_at: float | None = None
        self.held = False

    def hold(self) -> None:
        """Turn it off for a time that is nobody's fault."""
        if not self.held:
            self.held = True
            self._pause()

    def release(self) -> None:
        """End such a time; it stays off where the other side refuses bytes by now."""
        self.held = False
        if self.refused_at is None:
            self._resume()

    def open(self) -> None:
        """Turn it on, whatever it waited for: the other side is not asked any more."""
        self.held, self.refused_at = False, None
        self._resume()

    def pauseProducing(self) -> None:
        """The other side's buffer is full."""
        if self.refused_at is None:
            self.refused_at = self._clock.now()
        self._pause()

    def resumeProducing(self) -> None:
        """The other side's buffer is empty again."""
        self.refused_at = None
        self._resume()

    def stopProducing(self) -> None:
        """The other side is gone; that is told elsewhere."""


class Watch:
    """Watches one tunnel with one timer, which is armed for the earliest of all its instants.

    A client that is not read, or that does not take what was sent before the ping, can't be heard or asked; then it is
    not blamed for silence, but whoever refuses bytes may not do so for ever.

    :param up: off while the endpoint refuses bytes; then the client is not read.
    :param down: off while the client refuses bytes.
    :param ping: sends one.
    :param fault: is called at most once; after that the watch is over.
    """

    def __init__(
        self,
        clock: Clock,
        limits: RelayLimits,
        up: Tap,
        down: Tap,
        ping: Callable[[], None],
        fault: Callable[[Fault], None],
    ) -> None:
        self._clock, self._limits = clock, limits
        self._up, self._down = up, down
        self._ping, self._fault = ping, fault
        self.heard_at = clock.now()
        self._pinged_at: float | None = None
        self._timer: IDelayedCall | None = None
        self._due_at = 0.0
        self._arm()

    def heard(self) -> float:
        """Take note of a sign of life; gives the instant."""
        self.heard_at = self._clock.now()
        self._pinged_at = None
        return self.heard_at

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _arm(self) -> None:
        # Never longer than stall_s or ping_s: a refusal that begins now, or a pong, is seen without arming anew.
        now = self._clock.now()
        self._due_at = min(now + self._limits.stall_s, now + self._limits.ping_s, *self._instants())
        self._timer = self._clock.call_later(max(0.0, self._due_at - now), self._look)

    def _instants(self) -> list[float]:
        if self._pinged_at is not None:
            waited = self._pinged_at + self._limits.pong_s
        else:
            waited = self.heard_at + self._limits.ping_s
        refusals = (tap.refused_at for tap in (self._up, self._down))
        return [waited, *(since + self._limits.stall_s for since in refusals if since is not None)]

    def _look(self) -> None:
        self._timer = None
        now = self._clock.now()
        if now - self._due_at > LATE_S:
            self._forgive(now)
        fault = self._judge(now)
        if fault is not None:
            self._fault(fault)
        else:
            self._arm()

    def _forgive(self, now: float) -> None:
        self.heard_at, self._pinged_at = now, None
        for tap in (self._up, self._down):
            tap.refused_at = None if tap.refused_at is None else now

    def _judge(self, now: float) -> Fault | None:
        up, down, limits = self._up.refused_at, self._down.refused_at, self._limits
        if up is not None and now >= up + limits.stall_s:
            return Fault.ENDPOINT_STUCK
        if down is not None and now >= down + limits.stall_s:
            return Fault.CLIENT_STUCK
        if up is not None or down is not None or self._up.held:
            self.heard_at, self._pinged_at = now, None
        elif self._pinged_at is not None and now >= self._pinged_at + limits.pong_s:
            return Fault.SILENT
        elif self._pinged_at is None and now >= self.heard_at + limits.ping_s:
            self._pinged_at = now
            self._ping()
        return None
