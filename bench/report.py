"""The table, as text, JSON and Markdown."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.picture import draw
from bench.rows import Row

HEADS = ("what", "ours", "peer", "unit", "ours / peer", "aim", "holds")
NOTHING = "-"


def write(rows: list[Row], folder: Path) -> None:
    """Write ``results.json``, ``RESULTS.md`` and ``results.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps([row.shape() for row in rows], indent=2) + "\n")
    (folder / "RESULTS.md").write_text(markdown(rows))
    (folder / "results.svg").write_text(draw(rows))


def cells(row: Row) -> tuple[str, ...]:
    """Give a row's cells as they are shown."""
    holds = {True: "yes", False: "no", None: NOTHING}[row.holds]
    aim = NOTHING if row.aim is None else str(row.aim)
    return row.name, shown(row.ours), shown(row.peer), row.unit, shown(row.ratio), aim, holds


def shown(figure: float | None) -> str:
    """Write a figure with three digits."""
    if figure is None:
        return NOTHING
    short = float(f"{figure:.3g}")
    return f"{short:.0f}" if abs(short) >= 100 else f"{short:g}"


def table(rows: list[Row]) -> str:
    """Write the table for a terminal."""
    lines = [HEADS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    return "".join("  ".join(_aligned(line, widths)).rstrip() + "\n" for line in lines)


def _aligned(line: tuple[str, ...], widths: list[int]) -> list[str]:
    numbers = (1, 2, 4)
    return [c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]


def markdown(rows: list[Row]) -> str:
    """Write the table with what it was measured on."""
    measured = (
        f"sessiond {_version('sessiond')} (ours) and websockify {_version('websockify')} (peer), Python "
        f"{platform.python_version()}, {platform.system()}, {os.cpu_count()} CPUs, loopback. Medians; "
        "`docs/performance.rst` tells how, and where the time goes. For rates (1/s) more is better, for everything "
        "else less."
    )
    lines = [
        "# Measured side by side",
        "",
        measured,
        "",
        "![Ours as a part of the peer's](results.svg)",
        "",
        _line((*HEADS, "ours from, to")),
        _line(("---", "---:", "---:", "---", "---:", "---", "---", "---")),
        *(_line((*cells(row), f"{shown(row.spread[0])} to {shown(row.spread[1])}")) for row in rows),
        "",
    ]
    return "\n".join(lines)


def _line(parts: tuple[str, ...]) -> str:
    return f"| {' | '.join(parts)} |"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
