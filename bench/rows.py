"""The rows of the table: what was measured, and what was aimed at."""

from __future__ import annotations

import operator
from collections.abc import Callable
from statistics import median

from attrs import frozen


@frozen
class Aim:
    """What a row should come to: at most or at least so much, of the peer's figure or of the unit."""

    at_most: bool
    figure: float
    of_peer: bool = True

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        return f"{sign} {self.figure:g}{' x' if self.of_peer else ''}"

    def holds(self, ours: float, ratio: float | None) -> bool | None:
        """Judge; ``None`` where there is no peer to compare with."""
        compare: Callable[[float, float], bool] = operator.le if self.at_most else operator.ge
        found = ratio if self.of_peer else ours
        return None if found is None else compare(found, self.figure)


@frozen
class Row:
    """One line.

    :ivar ours: median of the repeats, in ``unit``; ``peer`` likewise, ``None`` where no peer does this.
    :ivar spread: the least and the greatest of ours.
    """

    name: str
    unit: str
    ours: float
    peer: float | None = None
    aim: Aim | None = None
    spread: tuple[float, float] = (0.0, 0.0)

    @property
    def ratio(self) -> float | None:
        """Give ours as a part of the peer's; for a rate, more is better."""
        return None if not self.peer else self.ours / self.peer

    @property
    def holds(self) -> bool | None:
        """Say whether the aim was reached; ``None`` where that can't be said."""
        return None if self.aim is None else self.aim.holds(self.ours, self.ratio)

    def shape(self) -> dict[str, object]:
        """Give it as JSON has it."""
        return {
            "name": self.name,
            "ours": rounded(self.ours),
            "peer": rounded(self.peer),
            "unit": self.unit,
            "ratio": rounded(self.ratio),
            "aim": None if self.aim is None else str(self.aim),
            "holds": self.holds,
        }


def row(name: str, unit: str, ours: list[float], peer: list[float], aim: Aim | None = None) -> Row:
    """Make a row of all repeats."""
    return Row(name, unit, median(ours), median(peer) if peer else None, aim, (min(ours), max(ours)))


def rounded(figure: float | None) -> float | None:
    """Keep four digits: a run tells no more."""
    return None if figure is None else float(f"{figure:.4g}")
