"""The picture of a profile: a bar for each case, divided as the time was."""

from __future__ import annotations

from html import escape

from bench.folding import Group, Profile
from bench.picture import PLAIN, opening

WIDTH, LABEL, RIGHT = 900, 170, 20
LINE, BAR, TOP = 46, 30, 96
KEY_X, KEY_Y = 16, 62
LEGIBLE = 2.5
"""Percent, below which no figure fits in."""

COLOURS = {
    Group.RECV: ("#1f4e79", "#ffffff"),
    Group.SEND: ("#4a86b8", "#ffffff"),
    Group.WAIT: ("#b9d3e8", "#1d2733"),
    Group.FRAMES: ("#2a7f62", "#ffffff"),
    Group.UNMASKING: ("#e0a43b", "#1d2733"),
    Group.REST: ("#8a93a0", "#ffffff"),
}
"""Of a part and of the figure in it. The kernel's are blue."""
KEY_WIDTHS = {Group.RECV: 80, Group.SEND: 84, Group.WAIT: 230, Group.FRAMES: 96, Group.UNMASKING: 120, Group.REST: 160}
WAITING = "epoll_wait, waiting included"


def draw(profiles: list[Profile]) -> str:
    """Draw all of them."""
    height = TOP + LINE * len(profiles) + 10
    title, note = "Where the time of a frame goes", "Percent of the samples of a daemon whose one tunnel is saturated."
    parts = [opening(WIDTH, height, title, note), _key()]
    for i, profile in enumerate(profiles):
        parts.append(_bar(profile, TOP + LINE * i))
    return "".join([*parts, "</svg>\n"])


def _key() -> str:
    drawn, x = "", KEY_X
    for group, (colour, _ink) in COLOURS.items():
        told = WAITING if group is Group.WAIT else group.value
        drawn += (
            f'<rect x="{x}" y="{KEY_Y}" width="14" height="14" fill="{colour}"/>'
            f'<text x="{x + 20}" y="{KEY_Y + 12}">{escape(told)}</text>\n'
        )
        x += KEY_WIDTHS[group]
    return drawn


def _bar(profile: Profile, y: int) -> str:
    drawn = f'<text x="{LABEL - 10}" y="{y + 20}" text-anchor="end">{escape(profile.name)}</text>\n'
    x = float(LABEL)
    for group, (colour, ink) in COLOURS.items():
        percent = profile.percent[group]
        wide = percent / 100 * (WIDTH - LABEL - RIGHT)
        drawn += f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{BAR}" fill="{colour}"/>'
        if percent >= LEGIBLE:
            at = x + wide / 2
            drawn += f'<text x="{at:.1f}" y="{y + 20}" text-anchor="middle" fill="{ink}">{percent:.0f}</text>'
        x += wide
    return drawn + f'<rect x="{LABEL}" y="{y}" width="{x - LABEL:.1f}" height="{BAR}" fill="none" stroke="{PLAIN}"/>\n'
