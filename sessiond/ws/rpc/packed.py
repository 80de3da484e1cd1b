"""The newer generation (2.x): msgpack in binary frames, each with a head that says where in its message it stands
(spec 8). Nothing is allocated on a client's word: memory grows with the bytes that have come."""

from __future__ import annotations

import struct
from bisect import bisect_left

import msgpack  # type: ignore[import-untyped]
from attrs import define, field, frozen

from sessiond.ws.rpc.values import FRAME_BYTES, Broken, Message, Unencodable, bytes_of

HEAD = struct.Struct("<III")
"""Message id, offset of what follows, and length of the whole message, heads not counted."""
CUT_BYTES = FRAME_BYTES - 4096
"""The largest frame that is sent: one client takes a byte less than what it is promised."""


@frozen
class Limits:
    """What one client may have on its way.

    :ivar message_bytes: of one message; ``waiting_bytes`` of all that are incomplete.
    :ivar messages: how many may be; ``chunks`` of one; ``still_s`` for how long one may get nothing.
    """

    message_bytes: int = 256 << 20
    waiting_bytes: int = 256 << 20
    messages: int = 16
    chunks: int = 65_536
    still_s: float = 60.0


Frame = tuple[bytes, bytes | memoryview]
"""A frame's head and what follows; apart, so that nothing large is copied before it is sent."""


def encode(message: Message, number: int, cut_bytes: int = CUT_BYTES) -> list[Frame]:
    """Write a message, in as many frames as it needs.

    :param number: of the message, 32 bits; another of the same receiver's has another.
    :raises Unencodable: something in it can't be written.
    """
    try:
        packed: bytes = msgpack.packb(message, default=bytes_of)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unencodable(str(error)) from error
    size, room = len(packed), cut_bytes - HEAD.size
    if size <= room:
        return [(HEAD.pack(number, 0, size), packed)]
    view = memoryview(packed)
    return [(HEAD.pack(number, at, size), view[at : at + room]) for at in range(0, size, room)]


@define
class _Incomplete:
    """A message of which something is missing.

    :ivar starts: the offsets of what came, in order; ``pieces`` what came there, ``came`` how many bytes that is.
    """

    size: int
    at: float
    starts: list[int] = field(factory=list)
    pieces: list[bytes] = field(factory=list)
    came: int = 0

    def add(self, offset: int, content: bytes) -> None:
        """Take a piece.

        :raises Broken: it lies where another does.
        """
        place = bisect_left(self.starts, offset)
        before = self.starts[place - 1] + len(self.pieces[place - 1]) if place else 0
        after = self.starts[place] if place < len(self.starts) else self.size
        if before > offset or offset + len(content) > after:
            raise Broken(1002, "pieces of a message overlap")
        self.starts.insert(place, offset)
        self.pieces.insert(place, content)
        self.came += len(content)


class Reader:
    """Reads what one client sends, frame by frame, in whatever order the pieces of messages come."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._incomplete: dict[int, _Incomplete] = {}
        self._bytes = 0

    def frame(self, frame: bytes, now: float) -> bytes | None:
        """Take a frame; give the message that it completes.

        :param now: in seconds, of whatever clock.
        :raises Broken: the head is wrong, or too much is on its way.
        """
        if len(frame) < HEAD.size:
            raise Broken(1002, "a frame is shorter than its head")
        number, offset, size = HEAD.unpack_from(frame)
        length = len(frame) - HEAD.size
        if size > self.limits.message_bytes:
            raise Broken(1009, "the message is too large")
        if offset + length > size:
            raise Broken(1002, "a frame goes beyond the end of its message")
        found = self._incomplete.get(number)
        if found is None:
            if length == size:
                return frame[HEAD.size :]
            if len(self._incomplete) >= self.limits.messages:
                raise Broken(1002, "too many messages are incomplete")
            found = self._incomplete[number] = _Incomplete(size, now)
        if found.size != size:
            raise Broken(1002, "the length of a message has changed")
        if len(found.starts) >= self.limits.chunks:
            raise Broken(1002, "a message has too many pieces")
        if self._bytes + length > self.limits.waiting_bytes:
            raise Broken(1009, "too many bytes wait in incomplete messages")
        found.add(offset, frame[HEAD.size :])
        found.at = now if length else found.at
        self._bytes += length
        if found.came < size:
            return None
        del self._incomplete[number]
        self._bytes -= found.came
        return b"".join(found.pieces)

    def check(self, now: float) -> None:
        """See that each incomplete message has got something lately.

        :raises Broken: one has not.
        """
        if any(now - one.at > self.limits.still_s for one in self._incomplete.values()):
            raise Broken(1002, "a message does not go on")


def decode(message: bytes) -> object:
    """Read a message.

    :raises Broken: it is no msgpack.
    """
    try:
        # Lengths that it announces are bounded by its own; JavaScript's dates come as timestamps.
        found: object = msgpack.unpackb(message, timestamp=3)
    except Exception:  # noqa: BLE001 - msgpack raises many kinds, all of which mean the same
        raise Broken(1007, "a message is no msgpack") from None
    return found
