"""The log, as tests look at it."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, formatEvent
from zope.interface import implementer


@implementer(ILogObserver)
class Lines:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        """Observe the log."""
        self.kept.append(formatEvent(event))
