"""The picture that all viewers of the demo's clock share: the clock and the marks of pointer and keys."""

from sessiond.demo.canvas import Canvas, Disc, Ramp, Tile, changed_tiles
from sessiond.demo.face import TEXT_NUMBER, TEXT_STRIP, Face, key_mark_number, mark_number
from sessiond.demo.font import GLYPHS, HEIGHT, WIDTH

SPOT_RADIUS = 14
"""Radius in pixels of the spot that a press leaves; it stays until Escape wipes the picture."""

_STROKE_RADIUS = 4
_SCALE = 2
_LEFT = 10
_ADVANCE = (WIDTH + 1) * _SCALE

# Keysyms of X11 that type nothing: the modifiers and locks, 0xffe1 to 0xffee, Num_Lock, ISO_Level3_Shift.
_SILENT = {*range(0xFFE1, 0xFFEF), 0xFF7F, 0xFE03}
_BACKSPACE, _RETURN, _KEYPAD_RETURN, _ESCAPE = 0xFF08, 0xFF0D, 0xFF8D, 0xFF1B


class Picture:
    """Pixels that change with time, pointer and keys; changes show once :meth:`renew` is called."""

    def __init__(self, width: int, height: int) -> None:
        self._face = Face(width, height)
        self._clock = self._face.draw(0)
        self._marks = Canvas(width, height)  # 0 where there is no mark: no mark has the backdrop's number
        self._line: list[str | int] = []
        self._stale = False
        self.canvas = self._composed()

    def show_time(self, second_of_day: float) -> None:
        """Move the hands."""
        self._clock = self._face.draw(second_of_day)
        self._stale = True

    def press(self, x: int, y: int, button: int) -> None:
        """Paint the spot of a button, counted from 0, that went down at a place."""
        self._spot(x, y, SPOT_RADIUS, button)

    def drag(self, x: int, y: int, button: int) -> None:
        """Paint the stroke of a pointer that moves with a button down."""
        self._spot(x, y, _STROKE_RADIUS, button)

    def key(self, keysym: int) -> None:
        """Type a key that went down: ASCII as text, any other as a coloured mark; Escape wipes everything."""
        if keysym in _SILENT:
            return
        if keysym == _ESCAPE:
            self._marks = Canvas(self._marks.width, self._marks.height)
        self._edit(keysym)
        self._write_line()
        self._stale = True

    def renew(self) -> set[Tile]:
        """Compose the picture anew where something changed, and name the tiles that differ."""
        if not self._stale:
            return set()
        self._stale = False
        before, self.canvas = self.canvas, self._composed()
        return changed_tiles(before, self.canvas)

    def _edit(self, keysym: int) -> None:
        if keysym in (_RETURN, _KEYPAD_RETURN, _ESCAPE):
            self._line.clear()
        elif keysym == _BACKSPACE:
            del self._line[-1:]
        else:
            typed = chr(keysym) if keysym < 0x7F else ""
            self._line.append(typed if typed in GLYPHS else key_mark_number(keysym))
            del self._line[: -self._columns()]  # a full line moves to the left

    def _columns(self) -> int:
        return (self._marks.width - 2 * _LEFT) // _ADVANCE - 1

    def _write_line(self) -> None:
        marks, y = self._marks, self._marks.height - TEXT_STRIP + 10
        marks.fill(0, marks.height - TEXT_STRIP, marks.width, TEXT_STRIP, 0)
        for place, typed in enumerate(self._line):
            x = _LEFT + place * _ADVANCE
            if isinstance(typed, str):
                marks.write(typed, x, y, _SCALE, TEXT_NUMBER)
            else:
                marks.fill(x, y, WIDTH * _SCALE, HEIGHT * _SCALE, typed)

    def _spot(self, x: int, y: int, radius: int, button: int) -> None:
        number = mark_number(button)
        self._marks.paint(Disc(x + 0.5, y + 0.5, radius), Ramp(-1, number, number))
        self._stale = True

    def _composed(self) -> Canvas:
        """Lay the marks over the clock. As one big integer each, that is done at the speed of C."""
        clock, marks = self._clock, self._marks
        shown = marks.pixels.translate(_HIDES)
        below = int.from_bytes(clock.pixels, "big") & ~int.from_bytes(shown, "big")
        over = int.from_bytes(marks.pixels, "big")
        return Canvas(clock.width, clock.height, (below | over).to_bytes(len(clock.pixels), "big"))


_HIDES = bytes((0, *[255] * 255))  # any mark hides the clock below it
