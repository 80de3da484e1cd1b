"""What the clock looks like."""

import pytest

from sessiond.demo.canvas import changed_tiles
from sessiond.demo.face import MARKS, PALETTE, TEXT_STRIP, Face, key_mark_number, mark_number


def test_palette_fits() -> None:
    """Colours fit into one byte, and the marks of buttons are what they say."""
    assert len(PALETTE) <= 256
    assert [PALETTE[mark_number(button)] for button in range(3)] == list(MARKS[:3])


def test_keys_leave_no_red() -> None:
    """Red in the picture proves a press of the left button: no key leaves it, and the clock has none."""
    red = mark_number(0)
    assert red not in {key_mark_number(keysym) for keysym in range(200)}
    assert red not in Face(480, 360).draw(36_610).pixels


@pytest.mark.parametrize("second", [0, 37.4, 3_599, 43_199.9, 86_399.9])
@pytest.mark.parametrize("size", [(160, 120), (480, 360), (333, 1000)])
def test_any_time_and_size(size: tuple[int, int], second: float) -> None:
    """The clock can be drawn at any time of day in any size, and leaves the strip for text alone."""
    width, height = size
    canvas = Face(width, height).draw(second)
    assert len(canvas.pixels) == width * height
    assert not any(canvas.cut(0, height - TEXT_STRIP + 6, width, TEXT_STRIP - 6))


def test_hand_moves() -> None:
    """A fifth of a second moves the second hand, and only that."""
    face = Face(480, 360)
    assert 0 < len(changed_tiles(face.draw(100.0), face.draw(100.2))) < 60
    assert changed_tiles(face.draw(100.0), face.draw(100.0)) == set()
