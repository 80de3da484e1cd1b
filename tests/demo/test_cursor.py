"""The pointer's shape."""

from sessiond.demo.cursor import cursor_rectangle
from sessiond.demo.face import PALETTE
from sessiond.demo.pixels import pixel_tables
from sessiond.demo.rfb import CURSOR, NATURAL


def test_cursor_payload() -> None:
    """The payload is the pixels and then whole bytes of mask for each row; the hot spot is the tip."""
    cursor = cursor_rectangle(pixel_tables(PALETTE, NATURAL))
    mask_row_bytes = (cursor.width + 7) // 8
    pixels_bytes = cursor.width * cursor.height * 4
    assert len(cursor.payload) == pixels_bytes + cursor.height * mask_row_bytes
    assert (cursor.x, cursor.y, cursor.encoding) == (0, 0, CURSOR)
    assert cursor.payload[pixels_bytes] & 0x80
