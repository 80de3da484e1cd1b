"""What the demo's clock looks like: its colours, the dial, and the hands at a time of day."""

import math

from sessiond.demo.canvas import Canvas, Disc, Polygon, Ramp, text_size
from sessiond.demo.pixels import Colour

_STEPS = 12  # shades between a ground and the colour upon it

_BACKDROP: Colour = (22, 27, 34)
_DIAL: Colour = (246, 244, 239)
_INK: Colour = (38, 44, 52)
_FAINT: Colour = (160, 158, 152)
_ACCENT: Colour = (232, 140, 20)
_PALE: Colour = (200, 208, 218)

MARKS: tuple[Colour, ...] = (
    (226, 34, 34),  # the left button's: nothing else in the picture is red
    (34, 170, 84),
    (52, 110, 232),
    (168, 84, 220),
    (24, 168, 178),
)
"""What pointer and keys leave behind: the first three are the buttons', keys leave no red."""


def _shades(ground: Colour, colour: Colour) -> list[Colour]:
    def mixed(step: int) -> Colour:
        red, green, blue = ((a * (_STEPS - step) + b * step) // _STEPS for a, b in zip(ground, colour, strict=True))
        return red, green, blue

    return [mixed(step) for step in range(_STEPS + 1)]


def _palette() -> tuple[list[Colour], dict[str, Ramp]]:
    """Lay out the colours; number 0 is the backdrop."""
    colours, ramps = [_BACKDROP], {}
    dial = 1 + _STEPS  # the last colour of the first ramp is the ground of the others
    on_dial = {"ink": _INK, "faint": _FAINT, "accent": _ACCENT}
    wanted = {"dial": (_BACKDROP, _DIAL)} | {name: (_DIAL, colour) for name, colour in on_dial.items()}
    for name, (ground, colour) in wanted.items():
        first = len(colours)
        colours += _shades(ground, colour)
        ramps[name] = Ramp(0 if name == "dial" else dial, first, len(colours) - 1)
    return colours, ramps


_COLOURS, _RAMPS = _palette()
_DIAL_RAMP, _INK_RAMP, _FAINT_RAMP, _ACCENT_RAMP = _RAMPS.values()
_PALE_NUMBER = len(_COLOURS)
_FIRST_MARK = _PALE_NUMBER + 1
PALETTE: tuple[Colour, ...] = (*_COLOURS, _PALE, *MARKS)
"""Every colour of the picture, by its number."""


def mark_number(button: int) -> int:
    """Give the palette's number for a button, counted from 0."""
    return _FIRST_MARK + button % len(MARKS)


def key_mark_number(keysym: int) -> int:
    """Give the palette's number for a key that has no character in the font."""
    return _FIRST_MARK + 1 + keysym % (len(MARKS) - 1)


BACKDROP_NUMBER = 0
"""The palette's number for what lies behind the clock."""

TEXT_NUMBER = _PALE_NUMBER
"""The palette's number for what is typed."""

TEXT_STRIP = 32
"""Height in pixels of the strip at the foot of the picture that belongs to what is typed."""


class Face:
    """The clock in a picture of a given size in pixels."""

    def __init__(self, width: int, height: int) -> None:
        self._x = width / 2
        self._y = (height - TEXT_STRIP + 8) / 2
        self._radius = min(width, height - TEXT_STRIP - 8) / 2 - 4
        self._dial = Canvas(width, height)
        self._draw_dial()

    def _draw_dial(self) -> None:
        self._dial.paint(Disc(self._x, self._y, self._radius), _DIAL_RAMP)
        for minute in range(60):
            hour = minute % 5 == 0
            inner, half, ramp = (0.82, 0.013, _INK_RAMP) if hour else (0.89, 0.005, _FAINT_RAMP)
            self._paint_bar(self._dial, minute / 60, (inner, 0.94), (half, half), ramp)

    def _paint_bar(
        self, canvas: Canvas, turn: float, reach: tuple[float, float], half: tuple[float, float], ramp: Ramp
    ) -> None:
        """Paint a bar along a radius, ``turn`` from 12 o'clock on: where it begins and ends, and half its
        width at either end, in radii.
        """
        angle = 2 * math.pi * turn
        dx, dy = math.sin(angle) * self._radius, -math.cos(angle) * self._radius
        corners = [
            (self._x + dx * along - dy * aside, self._y + dy * along + dx * aside)
            for along, aside in (
                (reach[0], -half[0]),
                (reach[1], -half[1]),
                (reach[1], half[1]),
                (reach[0], half[0]),
            )
        ]
        canvas.paint(Polygon(corners), ramp)

    def draw(self, second_of_day: float) -> Canvas:
        """Draw the clock at a time of day.

        :param second_of_day: seconds since midnight, with fractions: the second hand sweeps.
        """
        canvas = Canvas(self._dial.width, self._dial.height, self._dial.pixels)
        self._write_time(canvas, int(second_of_day))
        self._paint_bar(canvas, second_of_day / 43_200 % 1, (-0.10, 0.52), (0.030, 0.022), _INK_RAMP)
        self._paint_bar(canvas, second_of_day / 3_600 % 1, (-0.12, 0.78), (0.022, 0.014), _INK_RAMP)
        canvas.paint(Disc(self._x, self._y, self._radius * 0.055), _INK_RAMP)
        self._paint_bar(canvas, second_of_day / 60 % 1, (-0.20, 0.88), (0.010, 0.005), _ACCENT_RAMP)
        canvas.paint(Disc(self._x, self._y, self._radius * 0.035), _ACCENT_RAMP)
        return canvas

    def _write_time(self, canvas: Canvas, second_of_day: int) -> None:
        minutes, second = divmod(second_of_day, 60)
        text = f"{minutes // 60:02}:{minutes % 60:02}:{second:02}"
        scale = max(1, int(self._radius / 75))
        wide, _ = text_size(text, scale)
        x, y = int(self._x - wide / 2), int(self._y + self._radius * 0.42)
        canvas.write(text, x, y, scale, _FAINT_RAMP.last)
