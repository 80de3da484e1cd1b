"""RFB 3.8 as a server speaks it (RFC 6143): a viewer's bytes to messages, and back. No I/O.

A server of this module offers the security type None and has a true-colour picture. It keeps at most one
incomplete message of a viewer, :data:`MESSAGE_LIMIT_BYTES` at the most.
"""

import enum
import struct
from collections.abc import Iterable, Iterator, Sequence

from attrs import field, frozen

VERSION = b"RFB 003.008\n"
SECURITY_NONE = 1
RAW = 0
CURSOR = -239
ENCODINGS_LIMIT = 1024
"""How many encodings a viewer may list; real ones list 10 to 40, the wire would allow 65,535."""
CUT_TEXT_LIMIT_BYTES = 16 << 20
"""The longest clipboard text that is still read past; it is dropped, so this bounds time, not memory."""
MESSAGE_LIMIT_BYTES = 4 + 4 * ENCODINGS_LIMIT

_VERSION_SIZE = len(VERSION)
_PIXEL_FORMAT = struct.Struct(">BBBBHHHBBB3x")
_MINORS = {b"RFB 003.003\n": 3, b"RFB 003.007\n": 7, VERSION: 8}


class Fault(enum.Enum):
    """What was wrong with a viewer's bytes; a closed list."""

    VERSION = "the version is none of RFB 3.3, 3.7 and 3.8"
    SECURITY_TYPE = "the security type chosen was not offered"
    MESSAGE_TYPE = "there is no such type of message"
    PIXEL_FORMAT = "the pixel format contradicts itself"
    COLOUR_MAP = "pixel formats with a colour map are not spoken"
    TOO_MANY_ENCODINGS = "the list of encodings is too long"
    CUT_TEXT_TOO_LONG = "the clipboard text is too long"


class Refused(Exception):
    """A viewer sent what cannot be served: its connection must be closed.

    :param fault: what was wrong.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


@frozen
class PixelFormat:
    """How a viewer wants its pixels: RFC 6143, section 7.4, true colour only."""

    bits_per_pixel: int
    depth: int
    big_endian: bool
    red_max: int
    green_max: int
    blue_max: int
    red_shift: int
    green_shift: int
    blue_shift: int

    def pack(self) -> bytes:
        """Give the 16 bytes of the wire."""
        return _PIXEL_FORMAT.pack(
            self.bits_per_pixel,
            self.depth,
            self.big_endian,
            True,
            self.red_max,
            self.green_max,
            self.blue_max,
            self.red_shift,
            self.green_shift,
            self.blue_shift,
        )


NATURAL = PixelFormat(32, 24, False, 255, 255, 255, 0, 8, 16)
"""What ServerInit announces: red, green, blue, one unused byte, in this order, as browsers keep them."""


@frozen
class Version:
    """The viewer's version, ``minor`` 3, 7 or 8 (section 7.1.1)."""

    minor: int


@frozen
class SecurityChosen:
    """The security type that the viewer took: always None (section 7.1.2)."""


@frozen
class ClientInit:
    """The end of the handshake (section 7.3.1)."""

    shared: bool


@frozen
class SetPixelFormat:
    """Section 7.5.1."""

    format: PixelFormat


@frozen
class SetEncodings:
    """Section 7.5.2: the viewer's encodings, best first; negative ones are pseudo-encodings."""

    encodings: tuple[int, ...]


@frozen
class UpdateRequest:
    """Section 7.5.3: the viewer waits for this area in pixels, which may reach outside the picture."""

    incremental: bool
    x: int
    y: int
    width: int
    height: int


@frozen
class Key:
    """Section 7.5.4: a key by its X11 keysym."""

    down: bool
    keysym: int


@frozen
class Pointer:
    """Section 7.5.5: bit 0 of ``buttons`` is the left button, bit 1 the middle, bit 2 the right one."""

    buttons: int
    x: int
    y: int


@frozen
class CutText:
    """Section 7.5.6: clipboard text, of which only the size is kept."""

    size_bytes: int


Message = (
    Version | SecurityChosen | ClientInit | SetPixelFormat | SetEncodings | UpdateRequest | Key | Pointer | CutText
)


class _Phase(enum.Enum):
    VERSION = enum.auto()
    SECURITY = enum.auto()
    INIT = enum.auto()
    MESSAGES = enum.auto()


# Type of message to the size of its fixed part, in bytes (section 7.5).
_FIXED_SIZES = {0: 20, 2: 4, 3: 10, 4: 8, 5: 6, 6: 8}


class ViewerStream:
    """Cuts the bytes of one viewer, which may arrive split anywhere, into messages."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._phase = _Phase.VERSION
        self._unread_bytes = 0
        self._refusal: Refused | None = None

    def receive(self, data: bytes) -> Iterator[Message]:
        """Take bytes in; give the messages that they complete.

        :param data: any number of bytes, as they came.
        :returns: an iterator; what it has not given yet is given by that of the next call.
        :raises Refused: from the iterator, after all messages before the fault, and at every later call.
        """
        self._kept += data
        return self._messages()

    def _messages(self) -> Iterator[Message]:
        while True:
            if self._refusal is not None:
                raise self._refusal
            try:
                message = self._next()
            except Refused as refusal:
                self._refusal = refusal
                self._kept.clear()
                continue
            if message is None:
                return
            yield message

    def _next(self) -> Message | None:
        if self._unread_bytes:
            dropped = min(self._unread_bytes, len(self._kept))
            del self._kept[:dropped]
            self._unread_bytes -= dropped
        if not self._kept:
            return None
        match self._phase:
            case _Phase.VERSION:
                return self._version()
            case _Phase.SECURITY:
                return self._security()
            case _Phase.INIT:
                self._phase = _Phase.MESSAGES
                return ClientInit(shared=self._take(1) != b"\0")
            case _Phase.MESSAGES:
                return self._message()

    def _take(self, size: int) -> bytes:
        taken = bytes(self._kept[:size])
        del self._kept[:size]
        return taken

    def _version(self) -> Message | None:
        if not VERSION.startswith(self._kept[:8]):
            raise Refused(Fault.VERSION)  # as soon as it shows: a stranger may never send twelve bytes
        if len(self._kept) < _VERSION_SIZE:
            return None
        minor = _MINORS.get(self._take(_VERSION_SIZE))
        if minor is None:
            raise Refused(Fault.VERSION)
        # Section 7.1.2 and appendix A of the RFC: in 3.3 the server decides and the viewer says nothing.
        self._phase = _Phase.INIT if minor == 3 else _Phase.SECURITY
        return Version(minor)

    def _security(self) -> Message:
        if self._take(1)[0] != SECURITY_NONE:
            raise Refused(Fault.SECURITY_TYPE)
        self._phase = _Phase.INIT
        return SecurityChosen()

    def _message(self) -> Message | None:
        kind = self._kept[0]
        size = _FIXED_SIZES.get(kind)
        if size is None:
            raise Refused(Fault.MESSAGE_TYPE)
        if len(self._kept) < size:
            return None
        if kind == 2:
            return self._set_encodings()
        body = self._take(size)
        if kind == 0:
            return SetPixelFormat(parse_pixel_format(body[4:]))
        if kind == 3:
            incremental, x, y, width, height = struct.unpack(">x?4H", body)
            return UpdateRequest(incremental, x, y, width, height)
        if kind == 4:
            return Key(*struct.unpack(">x?2xI", body))
        if kind == 5:
            return Pointer(*struct.unpack(">xBHH", body))
        return self._cut_text(body)

    def _set_encodings(self) -> Message | None:
        (number,) = struct.unpack_from(">H", self._kept, 2)
        if number > ENCODINGS_LIMIT:
            raise Refused(Fault.TOO_MANY_ENCODINGS)
        size = 4 + 4 * number
        if len(self._kept) < size:
            return None
        return SetEncodings(struct.unpack_from(f">{number}i", self._take(size), 4))

    def _cut_text(self, body: bytes) -> Message:
        (size,) = struct.unpack(">4xI", body)
        if size > CUT_TEXT_LIMIT_BYTES:
            raise Refused(Fault.CUT_TEXT_TOO_LONG)
        self._unread_bytes = size
        return CutText(size)


def parse_pixel_format(data: bytes) -> PixelFormat:
    """Read the 16 bytes of a pixel format.

    :raises Refused: it has a colour map, or its channels do not fit into its pixel.

    Source: RFC 6143, section 7.4.
    """
    bits, depth, big_endian, true_colour, *channels = _PIXEL_FORMAT.unpack(data)
    if not true_colour:
        raise Refused(Fault.COLOUR_MAP)
    if bits not in (8, 16, 32):
        raise Refused(Fault.PIXEL_FORMAT)
    for highest, shift in zip(channels[:3], channels[3:], strict=True):
        # A maximum is 2**n - 1; a channel without any bit would lose the colour for good.
        if highest == 0 or highest & (highest + 1) or highest.bit_length() + shift > bits:
            raise Refused(Fault.PIXEL_FORMAT)
    return PixelFormat(bits, depth, bool(big_endian), *channels)


@frozen
class Rectangle:
    """One rectangle of an update: its place in pixels, its encoding, and the bytes that it wants."""

    x: int
    y: int
    width: int
    height: int
    payload: bytes = field(repr=False)
    encoding: int = RAW


def security_offer(minor: int) -> bytes:
    """Offer, or in 3.3 decide, the security type None (section 7.1.2)."""
    return struct.pack(">I", SECURITY_NONE) if minor == 3 else bytes((1, SECURITY_NONE))


def security_result(minor: int) -> bytes:
    """Say that security is agreed: only 3.8 hears it where the type is None (section 7.1.3, appendix A)."""
    return bytes(4) if minor == 8 else b""


def server_init(width: int, height: int, pixels: PixelFormat, name: str) -> bytes:
    """End the handshake: size in pixels, format, and the name that viewers show (section 7.3.2)."""
    title = name.encode()
    return struct.pack(">HH", width, height) + pixels.pack() + struct.pack(">I", len(title)) + title


def framebuffer_update(rectangles: Sequence[Rectangle]) -> bytes:
    """Make one FramebufferUpdate (section 7.6.1).

    :param rectangles: at most 65,535.
    """
    return b"".join(_update_parts(rectangles))


def _update_parts(rectangles: Sequence[Rectangle]) -> Iterable[bytes]:
    yield struct.pack(">BxH", 0, len(rectangles))
    for each in rectangles:
        yield struct.pack(">HHHHi", each.x, each.y, each.width, each.height, each.encoding)
        yield each.payload
