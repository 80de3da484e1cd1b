"""The picture that viewers share."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sessiond.demo.canvas import Canvas
from sessiond.demo.face import TEXT_NUMBER, key_mark_number, mark_number
from sessiond.demo.picture import SPOT_RADIUS, Picture


def numbers_around(canvas: Canvas, x: int, y: int) -> set[int]:
    """Give the colour numbers in the square that fits into a spot."""
    half = SPOT_RADIUS // 2
    return set(canvas.cut(x - half, y - half, 2 * half, 2 * half))


def test_press_paints_a_spot_that_stays() -> None:
    """A press covers what was there with its button's colour, and the hands do not wipe it."""
    picture = Picture(480, 360)
    picture.press(240, 100, 0)
    assert picture.renew()
    for second in range(0, 60, 7):
        picture.show_time(second)
        picture.renew()
        assert numbers_around(picture.canvas, 240, 100) == {mark_number(0)}


def test_spot_is_large_enough_to_be_found() -> None:
    """A spot is at least 24 pixels wide and high, so that a screenshot of any scale proves it."""
    picture = Picture(480, 360)
    picture.press(240, 180, 0)
    picture.renew()
    red = mark_number(0)
    assert picture.canvas.pixels.count(red) > 24 * 24 * 0.75
    assert all(red in picture.canvas.cut(240 + dx, 180 + dy, 1, 1) for dx, dy in ((12, 0), (-12, 0), (0, 12), (0, -12)))


def test_nothing_new_nothing_changed() -> None:
    """A picture that nothing happened to names no tiles."""
    picture = Picture(200, 150)
    assert picture.renew() == set()
    picture.key(0xFFE1)  # Shift alone types nothing
    assert picture.renew() == set()


def test_typing() -> None:
    """Characters appear as text, other keys as marks; Backspace takes one back, Return the line."""
    picture = Picture(480, 360)
    empty = bytes(picture.canvas.pixels)
    for keysym in (ord("a"), 0xFFBE):
        picture.key(keysym)
    picture.renew()
    assert TEXT_NUMBER in picture.canvas.pixels
    assert key_mark_number(0xFFBE) in picture.canvas.pixels
    picture.key(0xFF08)
    picture.renew()
    assert key_mark_number(0xFFBE) not in picture.canvas.pixels
    picture.key(0xFF0D)
    picture.renew()
    assert bytes(picture.canvas.pixels) == empty


def test_long_line_moves_left() -> None:
    """However much is typed, no more is kept than the line shows."""
    picture = Picture(160, 120)
    for _ in range(1000):
        picture.key(ord("W"))
    assert len(picture._line) == picture._columns()


def test_escape_wipes() -> None:
    """Escape wipes spots and text."""
    picture = Picture(160, 120)
    clean = bytes(picture.canvas.pixels)
    picture.press(80, 60, 2)
    picture.drag(90, 60, 1)
    picture.key(ord("x"))
    picture.renew()
    picture.key(0xFF1B)
    picture.renew()
    assert bytes(picture.canvas.pixels) == clean


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("press"), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 2)),
        st.tuples(st.just("drag"), st.integers(0, 200), st.integers(0, 200), st.integers(0, 2)),
        st.tuples(st.just("key"), st.integers(0, 0xFFFFFFFF)),
        st.tuples(st.just("show_time"), st.floats(0, 86_399)),
    ),
    max_size=15,
)


@settings(deadline=None)  # drawing takes what it takes on a busy machine
@given(EVENTS)
def test_tiles_told_are_tiles_changed(events: list[tuple[object, ...]]) -> None:
    """A viewer that copies only the tiles that were named has the picture, whatever happens."""
    picture = Picture(160, 120)
    copy = Canvas(160, 120, picture.canvas.pixels)
    for name, *values in events:
        getattr(picture, str(name))(*values)
        for row, column in picture.renew():
            for y in range(row * 16, min(120, row * 16 + 16)):
                start = y * 160 + column * 16
                copy.pixels[start : start + 16] = picture.canvas.pixels[start : start + 16]
    assert copy.pixels == picture.canvas.pixels
