"""The daemon's time: wall time at its start plus monotonic time since, so that a stepped system clock moves nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime


def keep_steady(reactor: Any) -> None:
    """Have a reactor's own timers follow monotonic time too: Twisted's follow wall time.

    Set back by a day, that would let no timer come for a day: no deadline, no ping, no limit of a slow request. The
    new time goes on where wall time is now, so what is pending comes when it should.
    """
    offset = reactor.seconds() - time.monotonic()
    reactor.seconds = lambda: offset + time.monotonic()


class SteadyClock:
    """The :class:`sessiond.ports.Clock` of a running daemon.

    :param reactor: makes the calls; its own ``seconds`` is wall time and is not used.
    :param monotonic: seconds that only grow; a test passes its Clock's.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        monotonic: Callable[[], float] = time.monotonic,
        epoch: float | None = None,
    ) -> None:
        self._reactor = reactor
        self._monotonic = monotonic
        self._offset = (time.time() if epoch is None else epoch) - monotonic()

    def now(self) -> float:
        """Give epoch seconds that never step."""
        return self._offset + self._monotonic()

    def call_later(self, delay_s: float, call: Callable[..., object], *args: Any) -> IDelayedCall:
        """Call back after ``delay_s`` seconds; a negative delay counts as none."""
        return self._reactor.callLater(max(0.0, delay_s), call, *args)
