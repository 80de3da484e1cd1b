"""A canvas of colour numbers: shapes with smooth edges, text, and which tiles differ between two pictures."""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from attrs import frozen

from sessiond.demo.font import GLYPHS, HEIGHT, WIDTH

TILE = 16
"""The edge of a tile in pixels: what changed is told and sent in tiles."""

_LINES_PER_ROW = 4  # scan lines that each row of pixels is sampled with, for smooth edges


class Shape(Protocol):
    """A convex shape, in pixels with fractions."""

    top: float
    bottom: float

    def span(self, y: float) -> tuple[float, float] | None:
        """Give where the shape begins and ends on the line ``y``; ``None`` where it is not met."""


class Disc:
    """A filled circle around ``(x, y)``."""

    def __init__(self, x: float, y: float, radius: float) -> None:
        self.top = y - radius
        self.bottom = y + radius
        self._x, self._y, self._radius = x, y, radius

    def span(self, y: float) -> tuple[float, float] | None:
        """See :class:`Shape`."""
        square = self._radius**2 - (y - self._y) ** 2
        if square <= 0:
            return None
        half = math.sqrt(square)
        return self._x - half, self._x + half


class Polygon:
    """A filled convex polygon with the given corners, in their order."""

    def __init__(self, corners: Sequence[tuple[float, float]]) -> None:
        self.top = min(y for _, y in corners)
        self.bottom = max(y for _, y in corners)
        self._edges = list(zip(corners, [*corners[1:], corners[0]], strict=True))

    def span(self, y: float) -> tuple[float, float] | None:
        """See :class:`Shape`."""
        crossed = [(a, b) for a, b in self._edges if (a[1] <= y) != (b[1] <= y)]
        crossings = [x1 + (y - y1) * (x2 - x1) / (y2 - y1) for (x1, y1), (x2, y2) in crossed]
        return (min(crossings), max(crossings)) if crossings else None


@frozen
class Ramp:
    """Colour numbers ``first`` to ``last``, from barely to wholly covered, for edges on ``ground``."""

    ground: int
    first: int
    last: int

    def covered(self, before: int, coverage: float) -> int:
        """Say which colour a pixel becomes that a shape covers in part, 0 to 1."""
        level = self.first + round(coverage * (self.last - self.first))
        if before == self.ground:
            return level
        if self.first <= before <= self.last:
            return max(before, level)
        return self.last if coverage >= 0.5 else before  # upon a third colour there is no step in between


class Canvas:
    """``width`` by ``height`` pixels, row by row from the top left, one byte each."""

    def __init__(self, width: int, height: int, pixels: bytes | bytearray | None = None) -> None:
        self.width = width
        self.height = height
        self.pixels = bytearray(width * height if pixels is None else pixels)

    def paint(self, shape: Shape, ramp: Ramp) -> None:
        """Fill a shape with a ramp's last colour, and its edge by how much each pixel is covered."""
        for row in range(max(0, math.floor(shape.top)), min(self.height, math.ceil(shape.bottom))):
            lines = (row + (line + 0.5) / _LINES_PER_ROW for line in range(_LINES_PER_ROW))
            spans = [span for y in lines if (span := shape.span(y)) is not None]
            if spans:
                self._paint_row(row, spans, ramp)

    def _paint_row(self, row: int, spans: list[tuple[float, float]], ramp: Ramp) -> None:
        left = max(0, math.floor(min(begin for begin, _ in spans)))
        right = min(self.width, math.ceil(max(end for _, end in spans)))
        inner_left, inner_right = right, right
        if len(spans) == _LINES_PER_ROW:
            inner_left = min(right, max(left, math.ceil(max(begin for begin, _ in spans))))
            inner_right = max(inner_left, min(right, math.floor(min(end for _, end in spans))))
        start = row * self.width
        self.pixels[start + inner_left : start + inner_right] = bytes((ramp.last,) * (inner_right - inner_left))
        for x in (*range(left, inner_left), *range(inner_right, right)):
            coverage = sum(max(0.0, min(x + 1, end) - max(x, begin)) for begin, end in spans) / _LINES_PER_ROW
            self.pixels[start + x] = ramp.covered(self.pixels[start + x], coverage)

    def fill(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        """Fill a rectangle; what lies outside the canvas is left out."""
        left, right = max(0, x), min(self.width, x + width)
        if left >= right:
            return
        line = bytes((colour,)) * (right - left)
        for row in range(max(0, y), min(self.height, y + height)):
            self.pixels[row * self.width + left : row * self.width + right] = line

    def write(self, text: str, x: int, y: int, scale: int, colour: int) -> None:
        """Write printable ASCII with its top left at ``(x, y)``; a dot is ``scale`` pixels wide and high."""
        for number, character in enumerate(text):
            left = x + number * (WIDTH + 1) * scale
            for row, dots in enumerate(GLYPHS[character]):
                for column, dot in enumerate(dots):
                    if dot == "#":
                        self.fill(left + column * scale, y + row * scale, scale, scale, colour)

    def cut(self, x: int, y: int, width: int, height: int) -> bytes:
        """Copy a rectangle that lies inside the canvas, row by row."""
        starts = range(y * self.width + x, (y + height) * self.width + x, self.width)
        return b"".join(self.pixels[start : start + width] for start in starts)


def text_size(text: str, scale: int) -> tuple[int, int]:
    """Say how wide and high :meth:`Canvas.write` draws a text, in pixels."""
    return (len(text) * (WIDTH + 1) - 1) * scale, HEIGHT * scale


Tile = tuple[int, int]
"""Row and column of a tile."""


def tiles_within(x: int, y: int, width: int, height: int, canvas: Canvas) -> set[Tile]:
    """Name the tiles that an area touches, which may reach outside the canvas."""
    if not (width and height and x < canvas.width and y < canvas.height):
        return set()
    right, bottom = min(x + width, canvas.width), min(y + height, canvas.height)
    rows = range(y // TILE, -(-bottom // TILE))
    columns = range(x // TILE, -(-right // TILE))
    return {(row, column) for row in rows for column in columns}


def changed_tiles(before: Canvas, after: Canvas) -> set[Tile]:
    """Name the tiles in which two canvases of one size differ."""
    width = before.width
    lefts = range(0, width, TILE)
    tiles: set[Tile] = set()
    for y in range(before.height):
        old = before.pixels[y * width : (y + 1) * width]
        new = after.pixels[y * width : (y + 1) * width]
        if old != new:
            tiles.update((y // TILE, x // TILE) for x in lefts if old[x : x + TILE] != new[x : x + TILE])
    return tiles


def areas(tiles: set[Tile], canvas: Canvas) -> Iterator[tuple[int, int, int, int]]:
    """Join neighbouring tiles of a row: gives x, y, width and height of each area, inside the canvas."""
    ordered = sorted(tiles)
    begin = 0
    for place, (row, column) in enumerate(ordered):
        if place + 1 < len(ordered) and ordered[place + 1] == (row, column + 1):
            continue
        x, y = ordered[begin][1] * TILE, row * TILE
        yield x, y, min((column + 1) * TILE, canvas.width) - x, min(TILE, canvas.height - y)
        begin = place + 1
