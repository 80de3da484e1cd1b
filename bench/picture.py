"""The picture: how much of the peer's cost is left, and how the rest stands against its aim."""

from __future__ import annotations

import math
from html import escape

from bench.rows import Row

WIDTH, LABEL, RIGHT = 900, 330, 120
LINE, BAR, TOP = 30, 16, 74
GOOD, BAD, PLAIN = "#2a7f62", "#c0562f", "#7a8794"
INK, FAINT = "#1d2733", "#d5dbe1"


def draw(rows: list[Row]) -> str:
    """Draw the rows that have a peer, on a scale of powers of ten; a rate counts the other way round."""
    compared = [(row, factor(row)) for row in rows if row.ratio is not None and row.ratio > 0]
    least = min((math.log10(part) for _, part in compared), default=-1.0)
    low = min(-1, math.floor(least))
    height = TOP + LINE * len(compared) + 20
    title = "Cost against websockify's, which is 1 (shorter is better)"
    note = "The mark is the aim; opens per second are drawn as time for each."
    parts = [opening(WIDTH, height, title, note), _ticks(low, height)]
    for i, (row, part) in enumerate(compared):
        parts.append(_bar(row, part, TOP + LINE * i, low))
    return "".join([*parts, "</svg>\n"])


def factor(row: Row) -> float:
    """Give the cost against the peer's: below 1 is better than the peer, for rates too."""
    ratio = row.ratio or 1.0
    return 1 / ratio if is_rate(row) else ratio


def is_rate(row: Row) -> bool:
    """Say whether more is better."""
    return row.unit == "1/s"


def _x(part: float, low: int) -> float:
    """Place a cost: 10 to the power of ``low`` at the left, twice the peer's at the right."""
    high = math.log10(2)
    at = (min(max(math.log10(part), low), high) - low) / (high - low)
    return LABEL + at * (WIDTH - LABEL - RIGHT)


def opening(width: int, height: int, title: str, note: str) -> str:
    """Begin a picture: its size, its ground and what it shows."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="13" fill="{INK}">\n<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
        f'<text x="16" y="26" font-size="17">{escape(title, quote=False)}</text>\n'
        f'<text x="16" y="46" fill="{PLAIN}">{escape(note, quote=False)}</text>\n'
    )


def _ticks(low: int, height: int) -> str:
    lines = []
    for power in range(low, 1):
        x = _x(10.0**power, low)
        lines.append(
            f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 14}" stroke="{FAINT}"/>'
            f'<text x="{x:.1f}" y="{TOP - 12}" text-anchor="middle" fill="{PLAIN}">{10.0**power:g}</text>\n'
        )
    return "".join(lines)


def _bar(row: Row, part: float, y: int, low: int) -> str:
    left, x = _x(10.0**low, low), _x(part, low)
    colour = {True: GOOD, False: BAD, None: PLAIN}[row.holds]
    drawn = (
        f'<text x="{LABEL - 10}" y="{y + 13}" text-anchor="end">{escape(row.name)}</text>'
        f'<rect x="{left:.1f}" y="{y}" width="{max(1.0, x - left):.1f}" height="{BAR}" fill="{colour}"/>'
    )
    aim = _aim(row)
    if aim is not None:
        at = _x(aim, low)
        drawn += f'<line x1="{at:.1f}" y1="{y - 4}" x2="{at:.1f}" y2="{y + BAR + 4}" stroke="{INK}" stroke-width="2"/>'
        x = max(x, at)
    return drawn + f'<text x="{x + 8:.1f}" y="{y + 13}">{part:.2g}</text>\n'


def _aim(row: Row) -> float | None:
    """Give the cost that is aimed at; an aim in the unit is drawn against what the peer needs."""
    if row.aim is None or not row.peer:
        return None
    figure = row.aim.figure if row.aim.of_peer else row.aim.figure / row.peer
    return 1 / figure if is_rate(row) else figure
