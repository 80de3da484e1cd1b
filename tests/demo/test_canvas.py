"""The canvas: shapes, text, and what changed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sessiond.demo.canvas import (
    TILE,
    Canvas,
    Disc,
    Polygon,
    Ramp,
    areas,
    changed_tiles,
    text_size,
    tiles_within,
)

INK = Ramp(0, 1, 9)
PLACES = st.floats(-20, 120, allow_nan=False)


def test_square_covers_its_pixels() -> None:
    """A polygon on whole pixels fills exactly those."""
    canvas = Canvas(6, 5)
    canvas.paint(Polygon([(1, 1), (4, 1), (4, 3), (1, 3)]), INK)
    rows = [canvas.cut(0, row, 6, 1) for row in range(5)]
    full = bytes((0, 9, 9, 9, 0, 0))
    assert rows == [bytes(6), full, full, bytes(6), bytes(6)]


def test_edge_is_shaded() -> None:
    """A pixel that is half covered gets the middle of the ramp."""
    canvas = Canvas(3, 1)
    canvas.paint(Polygon([(0, 0), (1.5, 0), (1.5, 1), (0, 1)]), INK)
    assert list(canvas.pixels) == [9, 5, 0]


def test_edge_on_a_third_colour() -> None:
    """Where the ground is another colour, a pixel is either covered or left."""
    assert [INK.covered(20, part) for part in (0.4, 0.6)] == [20, 9]
    assert INK.covered(7, 0.1) == 7


@settings(deadline=None)  # drawing takes what it takes on a busy machine
@given(PLACES, PLACES, st.floats(0.1, 60))
def test_disc_anywhere(x: float, y: float, radius: float) -> None:
    """A disc may hang over any side: its area is what lies inside, within the error of its edge."""
    canvas = Canvas(100, 80)
    canvas.paint(Disc(x, y, radius), INK)
    assert len(canvas.pixels) == 100 * 80
    for row in range(80):
        for column in range(0, 100, 7):
            distance = ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2) ** 0.5
            number = canvas.pixels[row * 100 + column]
            if distance < radius - 1:
                assert number == INK.last
            elif distance > radius + 1:
                assert number in (0, INK.first)


def test_write_sets_dots() -> None:
    """A letter is drawn dot by dot at its scale."""
    canvas = Canvas(14, 16)
    canvas.write("L", 0, 0, 2, 7)
    assert text_size("L", 2) == (10, 14)
    assert canvas.cut(0, 0, 14, 1) == bytes((7, 7)) + bytes(12)
    assert canvas.cut(0, 13, 14, 1) == bytes((7,) * 10) + bytes(4)


@given(st.integers(-50, 150), st.integers(-50, 150), st.integers(0, 100), st.integers(0, 100))
def test_fill_is_clipped(x: int, y: int, width: int, height: int) -> None:
    """A rectangle that hangs over a side fills what lies inside and nothing else."""
    canvas = Canvas(40, 30)
    canvas.fill(x, y, width, height, 3)
    inside = {
        row * 40 + column
        for row in range(30)
        for column in range(40)
        if 0 <= row - y < height and 0 <= column - x < width
    }
    assert {place for place, number in enumerate(canvas.pixels) if number} == inside


@given(st.sets(st.integers(0, 50 * 40 - 1), max_size=30))
def test_changes_are_found_and_sent(places: set[int]) -> None:
    """The areas of the changed tiles hold every pixel that differs, lie inside, and do not overlap."""
    before, after = Canvas(50, 40), Canvas(50, 40)
    for place in places:
        after.pixels[place] = 1
    sent: list[tuple[int, int]] = []
    for x, y, width, height in areas(changed_tiles(before, after), after):
        assert x + width <= 50
        assert y + height <= 40
        assert 1 in after.cut(x, y, width, height)
        sent += [(column, row) for row in range(y, y + height) for column in range(x, x + width)]
    assert len(sent) == len(set(sent))
    assert {(place % 50, place // 50) for place in places} <= set(sent)


def test_neighbours_are_joined() -> None:
    """Tiles side by side become one area; tiles one below the other do not."""
    canvas = Canvas(4 * TILE, 2 * TILE)
    tiles = {(0, 0), (0, 1), (0, 3), (1, 0)}
    assert list(areas(tiles, canvas)) == [(0, 0, 32, 16), (48, 0, 16, 16), (0, 16, 16, 16)]


@given(*[st.integers(0, 0xFFFF)] * 4)
def test_any_area_names_tiles_inside(x: int, y: int, width: int, height: int) -> None:
    """An area of any size and place names only tiles of the canvas, and all that it touches."""
    canvas = Canvas(50, 40)
    expected = {
        (row, column)
        for row in range(3)
        for column in range(4)
        if x < min(column * TILE + TILE, 50) and x + width > column * TILE and width
        if y < min(row * TILE + TILE, 40) and y + height > row * TILE and height
    }
    assert tiles_within(x, y, width, height, canvas) == expected
