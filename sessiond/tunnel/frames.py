"""WebSocket frames as RFC 6455 has them, without I/O: what a client sends becomes payload and controls, and back.

Built for a tunnel: where messages begin and end does not matter there, so the payload of all frames that one read
brought comes out in one piece, and small frames are unmasked together.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from enum import IntEnum

from attrs import frozen

Unmask = Callable[[bytes, bytes], bytes]
"""Takes payload and a mask of four bytes, and gives the payload XORed with the mask over and over."""

SMALL_BYTES = 4096
"""Below this a call into native code costs more than an XOR of long integers, which many frames can share."""
CONTROL_BYTES = 125
"""RFC 6455 section 5.5: the most that a control frame holds."""
CLOSE_TEXT_BYTES = CONTROL_BYTES - 2
FIN, RESERVED, OPCODE = 0x80, 0x70, 0x0F
MASKED, LENGTH = 0x80, 0x7F
BINARY_FRAME = 0x82
"""The first byte of a whole binary message."""


class Opcode(IntEnum):
    """RFC 6455 section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


OPCODES = frozenset(opcode.value for opcode in Opcode)


class FrameError(Exception):
    """A client broke the protocol or a limit; ``code`` is the close code that says so (RFC 6455 section 7.4.1)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


@frozen
class Control:
    """A ping, a pong or a close frame."""

    opcode: Opcode
    payload: bytes


@frozen
class Received:
    """What came in one piece of a client's stream.

    :ivar payload: of all data frames, joined.
    :ivar controls: in their order; nothing is read behind a close frame.
    :ivar error: what broke a rule or a limit behind all that; nothing is read behind it either.
    """

    payload: bytes
    controls: tuple[Control, ...] = ()
    error: FrameError | None = None


class FrameReader:
    """Reads what one client sends (RFC 6455 sections 5 and 6).

    Holds at most a frame's head and a control frame's payload, whatever a client announces: the payload of messages is
    passed on as it comes.

    :param unmask: for pieces that are not small.
    :param message_bytes: the largest message that is taken.
    :param text: whether text messages are taken beside binary ones; they must be UTF-8.
    """

    def __init__(self, unmask: Unmask, message_bytes: int, *, text: bool = False) -> None:
        self._unmask, self._message_bytes, self._takes_text = unmask, message_bytes, text
        self._rest = b""
        self._left = 0
        self._mask = b""
        self._final = True
        self._in_message = self._over = False
        self._message_taken = 0
        self._utf8: codecs.IncrementalDecoder | None = None
        self._done: list[bytes] = []
        self._small: list[bytes] = []
        self._keys: list[bytes] = []

    def receive(self, data: bytes) -> Received:
        """Take the next bytes, however they were cut."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        controls: list[Control] = []
        error = None
        try:
            self._take(data, controls)
        except FrameError as failure:
            self._over, error = True, failure
        self._unmask_small()
        done, self._done = self._done, []
        return Received(done[0] if len(done) == 1 else b"".join(done), tuple(controls), error)

    def _take(self, data: bytes, controls: list[Control]) -> None:
        at, end = 0, len(data)
        while at < end and not self._over:
            if self._left:
                at = self._take_piece(data, at, end)
                continue
            at = self._take_small(data, at, end)
            after = self._take_frame(data, at, end, controls)
            if after == at:
                self._rest = data[at:]
                break
            at = after

    def _take_small(self, data: bytes, at: int, end: int) -> int:
        """Take whole binary messages of up to 125 bytes: what a keyboard and a mouse send, and the dearest per byte."""
        if self._in_message or self._message_bytes < CONTROL_BYTES:
            return at
        payloads, keys = self._small.append, self._keys.append
        while end - at >= 6 and data[at] == BINARY_FRAME:
            length = data[at + 1] - MASKED
            start = at + 6
            stop = start + length
            if length < 0 or length > CONTROL_BYTES or stop > end:
                break
            payloads(data[start:stop])
            key = data[at + 2 : start] * ((length + 3) >> 2)
            keys(key if not length & 3 else key[:length])
            at = stop
        return at

    def _take_frame(self, data: bytes, at: int, end: int, controls: list[Control]) -> int:
        """Take a frame's head, and a control frame whole; gives ``at`` unchanged where more bytes are needed."""
        if end - at < 2:
            return at
        first, length = data[at], data[at + 1] & LENGTH
        opcode = self._check_head(first, data[at + 1])
        size = 2 + (2 if length == 126 else 8 if length == 127 else 0)
        if end - at < size + 4:
            return at
        if length == 126:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
        elif length == 127:
            length = int.from_bytes(data[at + 2 : at + 10], "big")
        start = at + size + 4
        mask = data[at + size : start]
        if opcode >= Opcode.CLOSE:
            if end - start < length:
                return at
            controls.append(Control(Opcode(opcode), xor_small(data[start : start + length], mask)))
            self._over = opcode == Opcode.CLOSE
            return start + length
        self._begin_data(first, opcode, length)
        self._left, self._mask = length, mask
        if not length:
            self._end_frame()
        return start

    def _check_head(self, first: int, second: int) -> int:
        """Check what the first two bytes of a frame say, and give the opcode."""
        opcode = first & OPCODE
        if first & RESERVED:
            raise FrameError(1002, "a reserved bit is set")
        if opcode not in OPCODES:
            raise FrameError(1002, "an opcode is unknown")
        if not second & MASKED:
            raise FrameError(1002, "a frame is not masked")
        if opcode >= Opcode.CLOSE:
            if not first & FIN or second & LENGTH > CONTROL_BYTES:
                raise FrameError(1002, "a control frame is too long or in pieces")
        elif (opcode == Opcode.CONTINUATION) != self._in_message:
            raise FrameError(1002, "a message begins or goes on out of turn")
        elif opcode == Opcode.TEXT and not self._takes_text:
            raise FrameError(1003, "only binary messages are carried")
        return opcode

    def _begin_data(self, first: int, opcode: int, length: int) -> None:
        self._final = bool(first & FIN)
        if opcode != Opcode.CONTINUATION:
            self._message_taken = 0
            self._in_message = True
            self._utf8 = codecs.getincrementaldecoder("utf-8")() if opcode == Opcode.TEXT else None
        self._message_taken += length
        # Section 5.2: the most significant bit of a 64-bit length is 0; any such length is beyond the limit as well.
        if self._message_taken > self._message_bytes:
            raise FrameError(1009, "the message is too large")

    def _take_piece(self, data: bytes, at: int, end: int) -> int:
        """Take as much of the present frame's payload as is there."""
        size = min(self._left, end - at)
        payload = data[at : at + size] if size < len(data) else data
        self._left -= size
        if size >= SMALL_BYTES or self._utf8 is not None:
            self._unmask_small()
            clear = self._unmask(payload, self._mask) if size >= SMALL_BYTES else xor_small(payload, self._mask)
            if self._utf8 is None:
                self._done.append(clear)
            else:
                self._take_text(clear, self._utf8)
        else:
            self._small.append(payload)
            self._keys.append((self._mask * ((size + 3) >> 2))[:size])
        if self._left:
            turn = size & 3
            self._mask = self._mask[turn:] + self._mask[:turn]
        else:
            self._end_frame()
        return at + size

    def _end_frame(self) -> None:
        if self._final:
            self._in_message = False
            if self._utf8 is not None:
                self._take_text(b"", self._utf8, final=True)
            self._utf8 = None

    def _take_text(self, clear: bytes, utf8: codecs.IncrementalDecoder, *, final: bool = False) -> None:
        """Pass whole characters on: so what comes in front of one that is none is the same, however it was cut."""
        try:
            self._done.append(utf8.decode(clear, final).encode())
        except UnicodeDecodeError as error:
            self._done.append(error.object[: error.start])
            raise FrameError(1007, "a text message is not UTF-8") from None

    def _unmask_small(self) -> None:
        """Unmask what was gathered of small frames, all at once."""
        if self._small:
            payload, key = b"".join(self._small), b"".join(self._keys)
            self._small.clear()
            self._keys.clear()
            self._done.append(_xor(payload, key))


def xor_small(payload: bytes, mask: bytes) -> bytes:
    """Unmask a few bytes."""
    size = len(payload)
    return _xor(payload, (mask * ((size + 3) >> 2))[:size])


def _xor(payload: bytes, key: bytes) -> bytes:
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(len(payload), "little")


def head(opcode: Opcode, length: int) -> bytes:
    """Make the head of a whole message or control frame from a server: final, not masked (section 5.1)."""
    first = FIN | opcode
    if length <= CONTROL_BYTES:
        return bytes((first, length))
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


def close_payload(code: int, text: str) -> bytes:
    """Make a close frame's payload; a long text is cut between two characters (section 5.5.1)."""
    cut = text.encode("utf-8", "replace")[:CLOSE_TEXT_BYTES].decode("utf-8", "ignore")
    return struct.pack("!H", code) + cut.encode()


def read_close(payload: bytes) -> tuple[int | None, str]:
    """Read a close frame's payload: its code (``None`` where it has none) and text.

    :raises FrameError: the code is none that may be sent (section 7.4), or the text is not UTF-8.
    """
    if not payload:
        return None, ""
    if len(payload) == 1:
        raise FrameError(1002, "half a close code")
    code = int.from_bytes(payload[:2], "big")
    if not (3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))):
        raise FrameError(1002, "a close code that may not be sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(1007, "a close text is not UTF-8") from None
