"""Pixels in every format that a viewer may ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessiond.demo.pixels import Colour, in_format, pixel_tables, pixel_value
from sessiond.demo.rfb import NATURAL, PixelFormat

COLOURS = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))

EXAMPLES = [
    (NATURAL, b"\x11\x22\x33\x00"),
    (PixelFormat(32, 24, False, 255, 255, 255, 16, 8, 0), b"\x33\x22\x11\x00"),
    (PixelFormat(32, 24, True, 255, 255, 255, 16, 8, 0), b"\x00\x11\x22\x33"),
    (PixelFormat(32, 30, False, 1023, 1023, 1023, 20, 10, 0), (0x44 << 20 | 0x88 << 10 | 0xCD).to_bytes(4, "little")),
    (PixelFormat(16, 16, False, 31, 63, 31, 11, 5, 0), (2 << 11 | 8 << 5 | 6).to_bytes(2, "little")),
    (PixelFormat(8, 8, False, 7, 7, 3, 0, 3, 6), bytes((0 | 1 << 3 | 1 << 6,))),
]


@pytest.mark.parametrize(("wanted", "pixel"), EXAMPLES)
def test_known_pixels(wanted: PixelFormat, pixel: bytes) -> None:
    """One colour, in 32, 16 and 8 bits, in either byte order and with odd shifts."""
    colour = (0x11, 0x22, 0x33)
    assert in_format(b"\0\x01", pixel_tables([colour, (0, 0, 0)], wanted)) == pixel + bytes(len(pixel))


@given(st.lists(COLOURS, min_size=1, max_size=256), st.sampled_from([each for each, _ in EXAMPLES]), st.data())
def test_tables_agree_with_arithmetic(palette: list[Colour], wanted: PixelFormat, data: st.DataObject) -> None:
    """Translating by tables gives what computing each pixel gives."""
    numbers = data.draw(st.lists(st.integers(0, len(palette) - 1), max_size=50).map(bytes))
    size = wanted.bits_per_pixel // 8
    pixels = [pixel_value(palette[number], wanted).to_bytes(size, "big") for number in numbers]
    expected = b"".join(pixel if wanted.big_endian else pixel[::-1] for pixel in pixels)
    assert in_format(numbers, pixel_tables(palette, wanted)) == expected
