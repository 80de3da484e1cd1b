"""The pure part of the demo's RFB server."""

import struct
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.demo import rfb
from tests.demo.viewer import GREETING, said

U8, U16, U32 = st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)

FORMATS = st.sampled_from(
    [
        rfb.NATURAL,
        rfb.PixelFormat(32, 24, True, 255, 255, 255, 16, 8, 0),
        rfb.PixelFormat(16, 16, False, 31, 63, 31, 11, 5, 0),
        rfb.PixelFormat(8, 8, False, 7, 7, 3, 5, 2, 0),
    ]
)

MESSAGES = st.lists(
    st.one_of(
        st.builds(rfb.SetPixelFormat, FORMATS),
        st.builds(rfb.SetEncodings, st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20).map(tuple)),
        st.builds(rfb.UpdateRequest, st.booleans(), U16, U16, U16, U16),
        st.builds(rfb.Key, st.booleans(), U32),
        st.builds(rfb.Pointer, U8, U16, U16),
        st.builds(rfb.CutText, st.integers(0, 100)),
    ),
    max_size=12,
)

CUTS = st.lists(st.integers(0, 600), max_size=8)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut bytes at the given places."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


def heard(parts: Sequence[bytes]) -> tuple[list[rfb.Message], rfb.Fault | None]:
    """Give what a stream makes of bytes that arrive in parts, and the fault that ended it."""
    stream = rfb.ViewerStream()
    messages: list[rfb.Message] = []
    try:
        for part in parts:
            for message in stream.receive(part):
                messages.append(message)  # noqa: PERF402 - those before a fault are wanted too
    except rfb.Refused as refused:
        return messages, refused.fault
    return messages, None


@given(st.sampled_from([3, 7, 8]), st.booleans(), MESSAGES, CUTS)
def test_split_anywhere(minor: int, shared: bool, messages: list[rfb.Message], cuts: list[int]) -> None:
    """However its bytes are split, a viewer is understood the same."""
    security = [] if minor == 3 else [rfb.SecurityChosen()]
    expected = [rfb.Version(minor), *security, rfb.ClientInit(shared), *messages]
    data = b"".join(said(message) for message in expected)
    assert heard(pieces(data, cuts)) == (expected, None)


@given(st.sampled_from([b"", GREETING]), st.binary(max_size=300), CUTS)
def test_nonsense_split_anywhere(greeting: bytes, noise: bytes, cuts: list[int]) -> None:
    """Whatever a stranger sends, the messages before the fault and the fault do not depend on the split."""
    assert heard(pieces(greeting + noise, cuts)) == heard([greeting + noise])


@given(st.binary(max_size=40))
def test_byte_by_byte_keeps_little(noise: bytes) -> None:
    """No more is kept than one incomplete message."""
    stream = rfb.ViewerStream()
    for byte in GREETING + noise:
        try:
            list(stream.receive(bytes((byte,))))
        except rfb.Refused:
            break
    assert len(stream._kept) <= rfb.MESSAGE_LIMIT_BYTES


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"GET / HT", rfb.Fault.VERSION),
        (b"RFB 003.009\n", rfb.Fault.VERSION),
        (b"RFB 004.000\n", rfb.Fault.VERSION),
        (b"RFB 003.008\n\x02", rfb.Fault.SECURITY_TYPE),
        (GREETING + b"\x07", rfb.Fault.MESSAGE_TYPE),
        (GREETING + b"\x01", rfb.Fault.MESSAGE_TYPE),
        (GREETING + b"\x02\0\x04\x01", rfb.Fault.TOO_MANY_ENCODINGS),
        (GREETING + b"\x06\0\0\0\xff\xff\xff\xff", rfb.Fault.CUT_TEXT_TOO_LONG),
    ],
)
def test_refused(data: bytes, fault: rfb.Fault) -> None:
    """Each fault is refused by name, as soon as it shows."""
    assert heard([data])[1] == fault


def test_refused_for_good() -> None:
    """After a fault nothing is listened to any more."""
    stream = rfb.ViewerStream()
    for data in (b"RFB 005.000\n", GREETING):
        with pytest.raises(rfb.Refused, match=r"none of RFB 3\.3"):
            list(stream.receive(data))


def test_message_before_fault_is_heard() -> None:
    """What came in the same bytes before a fault still counts."""
    key = rfb.Key(down=True, keysym=65)
    messages, fault = heard([GREETING + said(key) + b"\xff"])
    assert (messages[-1], fault) == (key, rfb.Fault.MESSAGE_TYPE)


def test_cut_text_is_dropped() -> None:
    """A long clipboard text is told at once, never kept, and the next message is found behind it."""
    stream = rfb.ViewerStream()
    list(stream.receive(GREETING))
    assert list(stream.receive(b"\x06\0\0\0" + struct.pack(">I", 3_000_000))) == [rfb.CutText(3_000_000)]
    for _ in range(3):
        assert list(stream.receive(bytes(1_000_000))) == []
        assert not stream._kept
    assert list(stream.receive(b"\x05\x01\0\x02\0\x03")) == [rfb.Pointer(1, 2, 3)]


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        (rfb.PixelFormat(24, 24, False, 255, 255, 255, 0, 8, 16), rfb.Fault.PIXEL_FORMAT),
        (rfb.PixelFormat(32, 24, False, 0, 255, 255, 0, 8, 16), rfb.Fault.PIXEL_FORMAT),
        (rfb.PixelFormat(32, 24, False, 100, 255, 255, 0, 8, 16), rfb.Fault.PIXEL_FORMAT),
        (rfb.PixelFormat(32, 24, False, 255, 255, 255, 0, 8, 25), rfb.Fault.PIXEL_FORMAT),
        (rfb.PixelFormat(8, 8, False, 255, 7, 3, 1, 2, 0), rfb.Fault.PIXEL_FORMAT),
        (rfb.PixelFormat(32, 24, False, 255, 255, 255, 255, 8, 16), rfb.Fault.PIXEL_FORMAT),
    ],
)
def test_impossible_pixel_format(wanted: rfb.PixelFormat, fault: rfb.Fault) -> None:
    """A pixel format whose channels do not fit is refused, not shifted out of the world."""
    assert heard([GREETING + said(rfb.SetPixelFormat(wanted))])[1] == fault


def test_colour_map_is_refused() -> None:
    """A viewer that wants a colour map is told so by name."""
    packed = bytearray(rfb.NATURAL.pack())
    packed[3] = 0
    with pytest.raises(rfb.Refused, match="colour map"):
        rfb.parse_pixel_format(bytes(packed))


@given(FORMATS)
def test_pixel_format_there_and_back(wanted: rfb.PixelFormat) -> None:
    """A pixel format survives the wire."""
    assert rfb.parse_pixel_format(wanted.pack()) == wanted


def test_handshake_bytes() -> None:
    """The server's side of the handshake is as the RFC draws it, for each version."""
    assert [rfb.security_offer(minor) for minor in (3, 7, 8)] == [b"\0\0\0\x01", b"\x01\x01", b"\x01\x01"]
    assert [rfb.security_result(minor) for minor in (3, 7, 8)] == [b"", b"", bytes(4)]
    assert rfb.server_init(640, 480, rfb.NATURAL, "a€") == (
        b"\x02\x80\x01\xe0" + b"\x20\x18\0\x01\0\xff\0\xff\0\xff\0\x08\x10\0\0\0" + b"\0\0\0\x04a\xe2\x82\xac"
    )


def test_update_bytes() -> None:
    """An update holds its rectangles one behind the other."""
    rectangles = [rfb.Rectangle(1, 2, 3, 4, b"raw"), rfb.Rectangle(0, 0, 1, 1, b"c", rfb.CURSOR)]
    assert rfb.framebuffer_update(rectangles) == (
        b"\0\0\0\x02\0\x01\0\x02\0\x03\0\x04\0\0\0\0raw\0\0\0\0\0\x01\0\x01\xff\xff\xff\x11c"
    )
