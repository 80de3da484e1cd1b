"""The last answer of a daemon that a caller stops: it goes out before anything is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.server import Request

from sessiond.ports import Clock

FLUSH_S = 2.0
"""How long a stop waits until its caller has the answer."""


def once_told(request: Request, clock: Clock, stop: Callable[[], object]) -> None:
    """Stop once the caller has its answer, or has had the time to take it."""
    channel: Any = request.channel
    timer: IDelayedCall = clock.call_later(FLUSH_S, stop)
    lost = channel.connectionLost

    def gone(reason: Failure = connectionDone) -> None:
        lost(reason)
        if timer.active():
            timer.cancel()
            stop()

    # It goes down by itself, behind the last byte of the answer.
    channel.persistent, channel.connectionLost = False, gone
