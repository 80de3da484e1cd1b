"""Draws the states of a session from the table of transitions: what stands at an arrow is read, only its place is ours.

``python docs/draw_states.py FILE`` writes the picture by itself; ``make docs`` does so each time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from xml.sax.saxutils import escape, quoteattr

from attrs import frozen

from sessiond.core.machine import TABLE, RowKey
from sessiond.core.values import Deadline, State, StopStep

QUEUED, RESERVED, LAUNCHING, READY, CONNECTED, STOPPING, ENDED = State
Arrow = tuple[State | None, State]
"""From (``None``: there is no session yet) and to."""

Point = tuple[int, int]

WIDTH, HEIGHT = 920, 752
LINE = 14
"""How far one line of a label is below the one before."""


@frozen
class Box:
    """Where a state stands."""

    x: int
    y: int
    width: int = 120
    height: int = 40


@frozen
class Route:
    """Where an arrow runs, and where its words stand.

    :ivar events: the first line of the events' names; ``deadlines`` that of the deadlines', both at their left end.
    :ivar columns: how many characters a line may have.
    """

    points: tuple[Point, ...]
    events: Point | None = None
    deadlines: Point | None = None
    columns: int = 40


BOXES: Mapping[State, Box] = {
    QUEUED: Box(96, 44),
    RESERVED: Box(96, 160),
    LAUNCHING: Box(96, 292),
    READY: Box(96, 452),
    CONNECTED: Box(96, 596),
    STOPPING: Box(566, 330, 110, 306),
    ENDED: Box(786, 44, 96, 592),
}

ROUTES: Mapping[Arrow, Route] = {
    (None, QUEUED): Route(((36, 30), (36, 64), (96, 64)), (42, 58)),
    (None, RESERVED): Route(((36, 30), (36, 180), (96, 180)), (42, 174)),
    (None, LAUNCHING): Route(((36, 30), (36, 304), (96, 304)), (42, 298)),
    (QUEUED, RESERVED): Route(((140, 84), (140, 160)), (148, 126)),
    (QUEUED, LAUNCHING): Route(((216, 74), (288, 74), (288, 304), (216, 304)), (294, 126)),
    (QUEUED, ENDED): Route(((216, 54), (786, 54)), (310, 46), (310, 69), 80),
    (RESERVED, LAUNCHING): Route(((140, 200), (140, 292)), (148, 240), None, 14),
    (RESERVED, ENDED): Route(((216, 180), (786, 180)), (310, 172), (310, 195), 80),
    (LAUNCHING, READY): Route(((140, 332), (140, 452)), (148, 376), None, 14),
    (LAUNCHING, CONNECTED): Route(((216, 326), (288, 326), (288, 622), (216, 622)), (294, 526), None, 10),
    (LAUNCHING, STOPPING): Route(((216, 315), (620, 315), (620, 330)), (310, 279), (310, 330)),
    (LAUNCHING, ENDED): Route(((96, 322), (20, 322), (20, 690), (834, 690), (834, 636))),
    (READY, CONNECTED): Route(((122, 492), (122, 596)), (114, 546)),
    (READY, STOPPING): Route(((216, 472), (566, 472)), (310, 450), (310, 487)),
    (READY, ENDED): Route(((96, 472), (20, 472), (20, 690), (834, 690), (834, 636))),
    (CONNECTED, READY): Route(((160, 596), (160, 492)), (168, 534), None, 14),
    (CONNECTED, STOPPING): Route(((216, 604), (566, 604)), (310, 582), (310, 619)),
    (CONNECTED, ENDED): Route(((96, 616), (20, 616), (20, 690), (834, 690), (834, 636)), (310, 684)),
    (STOPPING, ENDED): Route(((676, 480), (786, 480)), (712, 472)),
}
AT_RIGHT = frozenset({(READY, CONNECTED)})
"""Arrows whose words end at the given point instead."""

STYLE = """
  .panel { fill: #fcfcfb; stroke: #d5d5d0 }
  .arrow { fill: none; stroke: #6b6f76; stroke-width: 1.3 }
  .head { fill: #6b6f76 }
  .state rect { fill: #ffffff; stroke: #6b6f76; stroke-width: 1.3 }
  .state.held rect { fill: #e3eefb; stroke: #2f6db5 }
  text { font: 12px system-ui, sans-serif; fill: #22262b }
  .state text { font-size: 15px; font-weight: 600; text-anchor: middle }
  .state text.step { font-size: 12px; font-weight: 400 }
  text.deadline { fill: #a04a00; font-style: italic }
  text.right { text-anchor: end }
  @media (prefers-color-scheme: dark) {
    .panel { fill: #1d2024; stroke: #3a3f46 }
    .arrow { stroke: #a4aab3 } .head { fill: #a4aab3 }
    .state rect { fill: #2a2e34; stroke: #a4aab3 }
    .state.held rect { fill: #1f3a58; stroke: #6aa5e6 }
    text { fill: #e8eaed } text.deadline { fill: #f0a35e }
  }
"""
"""The picture brings its own ground, so that it can be read on any page."""


LABEL = "The states of a session, and what leads from one to the next"
HEAD = """<defs>
<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path class="head" d="M0 0L8 4L0 8z"/></marker>
</defs>"""


def word_of(key: RowKey) -> str:
    """Name an event, or a deadline, as the documents do."""
    if isinstance(key, Deadline):
        return key.value
    return re.sub(r"(?<!^)(?=[A-Z])", "-", key.__name__).lower()


def arrows() -> dict[Arrow, list[RowKey]]:
    """Read from the table which state leads to which other, and by what."""
    found: dict[Arrow, list[RowKey]] = {}
    for (state, key), rule in TABLE.items():
        for to in rule.to:
            if to is not state:
                found.setdefault((state, to), []).append(key)
    return found


def svg() -> str:
    """Draw the picture.

    :raises KeyError: the table has an arrow that has no place yet.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{LABEL}">',
        f"<style>{STYLE}</style>",
        HEAD,
        f'<rect class="panel" x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="8"/>',
        '<circle class="head" cx="36" cy="30" r="5"/>',
    ]
    for arrow, keys in arrows().items():
        parts += _arrow(arrow, keys, ROUTES[arrow])
    for state, box in BOXES.items():
        parts += _box(state, box)
    return "\n".join([*parts, *_legend(), "</svg>", ""])


def _arrow(arrow: Arrow, keys: Iterable[RowKey], route: Route) -> Iterator[str]:
    before, to = arrow
    line = " ".join(f"{'L' if i else 'M'}{x} {y}" for i, (x, y) in enumerate(route.points))
    told = [word_of(key) for key in keys]
    yield (
        f'<g class="transition" data-from={quoteattr(before.value if before else "")} data-to={quoteattr(to.value)}'
        f' data-by={quoteattr(" ".join(told))}><path class="arrow" marker-end="url(#head)" d="{line}"/>'
    )
    side = " right" if arrow in AT_RIGHT else ""
    happens = [word_of(key) for key in keys if not isinstance(key, Deadline)]
    passes = [word_of(key) for key in keys if isinstance(key, Deadline)]
    if route.events is not None:
        below = passes if route.deadlines is None else []
        lines = _lines(happens, route.columns)
        yield from _words(lines, route.events, "event" + side)
        x, y = route.events
        yield from _words(_lines(below, route.columns), (x, y + LINE * len(lines)), "deadline" + side)
    if route.deadlines is not None:
        yield from _words(_lines(passes, route.columns), route.deadlines, "deadline" + side)
    yield "</g>"


def _lines(words: list[str], columns: int) -> list[str]:
    return wrap(", ".join(words), columns, break_long_words=False, break_on_hyphens=False)


def _words(lines: Iterable[str], at: Point, kind: str) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f'<text class="{kind}" x="{at[0]}" y="{at[1] + LINE * number}">{escape(line)}</text>'


def _box(state: State, box: Box) -> Iterator[str]:
    middle, held = box.x + box.width // 2, " held" if state.holds_slot else ""
    steps = list(StopStep) if state is STOPPING else []
    top = box.y + box.height // 2 + 5 - 10 * len(steps)
    yield f'<g class="state{held}" id="state-{state.value}">'
    yield f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6"/>'
    yield f'<text x="{middle}" y="{top}">{state.value}</text>'
    for number, step in enumerate(steps, 1):
        yield f'<text class="step" x="{middle}" y="{top + 6 + 18 * number}">{step.value}</text>'
    yield "</g>"


def _legend() -> Iterator[str]:
    yield '<g class="state held"><rect x="96" y="712" width="22" height="14" rx="3"/></g>'
    yield '<text x="126" y="724">holds a slot</text><text x="310" y="724">an event</text>'
    yield '<text class="deadline" x="400" y="724">a deadline that passes</text>'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(svg(), encoding="utf-8")
