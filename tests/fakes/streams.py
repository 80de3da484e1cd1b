"""Whoever takes a program's standard streams, and whoever waits while it does not read."""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from sessiond.ports import Streams


class Taker:
    """Whoever takes the streams."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.got: list[bytes] = []
        self.ends = 0

    def received(self, data: bytes) -> None:
        """Keep it."""
        self.got.append(data)

    def ended(self) -> None:
        """Count it."""
        self.ends += 1

    def displaced(self) -> None:
        """Leave, with something that was not made use of."""
        self.streams.leave(b"rest ")


@implementer(IPushProducer)
class Producer:
    """What is to wait while the program does not read."""

    def __init__(self) -> None:
        self.resumed = 0

    def pauseProducing(self) -> None:
        """Do nothing."""

    def resumeProducing(self) -> None:
        """Count it."""
        self.resumed += 1

    def stopProducing(self) -> None:
        """Do nothing."""
