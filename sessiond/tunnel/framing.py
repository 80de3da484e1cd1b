"""Frames in a program's standard input and output, without I/O: lines, or a length and as many bytes."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from attrs import frozen

from sessiond.core.services import Frames, Framing, Service
from sessiond.core.values import Kind
from sessiond.tunnel.frames import FrameError

LENGTH_BYTES = 4
SPACES = bytes.maketrans(b"\r\n", b"  ")


class BrokenFrame(Exception):
    """A program sent what is no frame; the text says why, without any of its content."""


@frozen
class Rules:
    """How messages are carried.

    :ivar text: whether they are text to the client, and so UTF-8; otherwise they are bytes.
    :ivar message_bytes: the largest, either way.
    :ivar json: whether they are JSON: none is empty, and a line end in one stands between tokens only (RFC 8259
        section 2), so that a space can take its place.
    """

    framing: Framing = Framing.LINES
    text: bool = False
    message_bytes: int = 16 * 1024 * 1024
    json: bool = False

    def check(self, message: bytes) -> None:
        """Refuse what can't be a frame.

        :raises FrameError: it holds a line end where frames are lines (1007: not consistent with the type of message).
        """
        if self.framing is Framing.LINES and not self.json and b"\n" in message:
            raise FrameError(1007, "a message here is one line, without a line end in it")

    def frame(self, message: bytes) -> bytes:
        """Make a frame for the program's standard input."""
        if self.framing is Framing.LINES:
            return (message.translate(SPACES) if self.json else message) + b"\n"
        return len(message).to_bytes(LENGTH_BYTES, "little") + message


class Stream(Enum):
    """What is carried where a client's messages have no meaning of their own."""

    BYTES = "bytes, as binary messages"
    TEXT = "text in UTF-8, as text messages"
    WHOLE = "the client's connection itself, with the program's own answer to the request"


Carried = Stream | Rules
"""How a tunnel carries what a client and a program have for each other."""


def carried(service: Service | None, message_bytes: int) -> Carried:
    """Say how the tunnels of a service carry; one that is offered no more has bytes."""
    kind = None if service is None else service.kind
    if service is not None and kind is Kind.MESSAGES:
        json = service.frames is Frames.JSON
        return Rules(service.framing, json or service.frames is Frames.TEXT, message_bytes, json)
    return {Kind.WEBSOCKET: Stream.WHOLE, Kind.TEXT: Stream.TEXT}.get(kind or Kind.TCP, Stream.BYTES)


class Cutter(Protocol):
    """Cuts a program's output into messages. Holds at most one of them, and what one call brought."""

    def take(self, data: bytes) -> None:
        """Take the next bytes, however they were cut."""

    def next(self) -> bytes | None:
        """Give the next message, ``None`` where it is not complete.

        :raises BrokenFrame: what comes next is no frame, or too large a one.
        """

    def rest(self) -> bytes:
        """Give what was taken and is in no message yet."""


class LineCutter:
    """Cuts at line ends, which are in no message."""

    def __init__(self, message_bytes: int) -> None:
        self._message_bytes = message_bytes
        self._held = bytearray()
        self._at = self._searched = 0

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        del self._held[: self._at]
        self._searched -= self._at
        self._at = 0
        self._held += data

    def next(self) -> bytes | None:
        """Give the next line."""
        end = self._held.find(b"\n", self._searched)
        size = (len(self._held) if end < 0 else end) - self._at
        if size > self._message_bytes:
            raise BrokenFrame("the program sent too long a line")
        if end < 0:
            self._searched = len(self._held)
            return None
        message = bytes(self._held[self._at : end])
        self._at = self._searched = end + 1
        return message

    def rest(self) -> bytes:
        """Give what is left."""
        return bytes(self._held[self._at :])


class LengthCutter:
    """Cuts by the four bytes before each message that say its length, little-endian."""

    def __init__(self, message_bytes: int) -> None:
        self._message_bytes = message_bytes
        self._held = bytearray()
        self._at = 0

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        del self._held[: self._at]
        self._at = 0
        self._held += data

    def next(self) -> bytes | None:
        """Give the next message."""
        start = self._at + LENGTH_BYTES
        if len(self._held) < start:
            return None
        end = start + int.from_bytes(self._held[self._at : start], "little")
        if end - start > self._message_bytes:
            raise BrokenFrame("the program sent too long a message")
        if len(self._held) < end:
            return None
        message = bytes(self._held[start:end])
        self._at = end
        return message

    def rest(self) -> bytes:
        """Give what is left."""
        return bytes(self._held[self._at :])


def cutter(rules: Rules) -> Cutter:
    """Make what cuts a program's output by these rules."""
    return (LineCutter if rules.framing is Framing.LINES else LengthCutter)(rules.message_bytes)
