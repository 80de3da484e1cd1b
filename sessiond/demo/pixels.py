"""Pixels as numbers of colours in a palette, and those pixels in any format that a viewer asks for.

A picture keeps one byte a pixel: the number of its colour. As each byte of a viewer's pixel depends on that
number alone, ``bytes.translate`` makes a whole picture of any format at the speed of C: no loop over pixels.
"""

from collections.abc import Sequence

from sessiond.demo.rfb import PixelFormat

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each."""

Tables = tuple[bytes, ...]
"""For each byte of a pixel on the wire, in their order, a table from the number of a colour to that byte."""


def pixel_value(colour: Colour, wanted: PixelFormat) -> int:
    """Give the number that stands for a colour in a format (RFC 6143, section 7.4)."""
    red, green, blue = colour
    return (
        _scaled(red, wanted.red_max) << wanted.red_shift
        | _scaled(green, wanted.green_max) << wanted.green_shift
        | _scaled(blue, wanted.blue_max) << wanted.blue_shift
    )


def _scaled(level: int, highest: int) -> int:
    return (level * highest + 127) // 255


def pixel_tables(palette: Sequence[Colour], wanted: PixelFormat) -> Tables:
    """Prepare the translation of a palette's pixels.

    :param palette: at most 256 colours.
    """
    size = wanted.bits_per_pixel // 8
    pixels = [pixel_value(colour, wanted).to_bytes(size, "big") for colour in palette]
    if not wanted.big_endian:
        pixels = [pixel[::-1] for pixel in pixels]
    pixels += [bytes(size)] * (256 - len(pixels))
    return tuple(bytes(pixel[place] for pixel in pixels) for place in range(size))


def in_format(numbers: bytes, tables: Tables) -> bytes:
    """Translate pixels from numbers of colours to a viewer's wanted."""
    pixels = bytearray(len(numbers) * len(tables))
    for place, table in enumerate(tables):
        pixels[place :: len(tables)] = numbers.translate(table)
    return bytes(pixels)
