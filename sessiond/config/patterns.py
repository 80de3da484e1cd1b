"""How long a regular expression may take: operators write them, but clients choose the text that they meet.

Python matches by trying one way after the other, so that a few dozen characters can keep ``(a+)+`` busy for years, and
nothing else in the daemon moves meanwhile. How many steps there can be at most follows from the expression and the
longest text.
"""

from __future__ import annotations

from collections.abc import Iterable

# The tree that the engine itself runs; a reader of our own might see another. There is no public way to it.
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from attrs import frozen

MOST_STEPS = 1_000_000
"""About 10 ms of one core."""


@frozen
class Cost:
    """The most that a part of an expression can come to, from one place in the text.

    :ivar steps: how many it takes to try all its ways.
    :ivar ways: in how many ways it can match; what stands behind it is tried once for each.
    """

    steps: int = 1
    ways: int = 1

    def then(self, following: Cost) -> Cost:
        """Give the cost of both, one behind the other."""
        return _bounded(self.steps + self.ways * following.steps, self.ways * following.ways)


def costs_little(pattern: str, length: int) -> bool:
    """Say whether every text can be matched with an expression, or found not to match, in few steps.

    :param pattern: an expression that compiles.
    :param length: how many characters a text has at most.
    """
    return _sequence(_parser.parse(pattern), length).steps <= MOST_STEPS


def _sequence(items: Iterable[tuple[Any, Any]], length: int) -> Cost:
    cost = Cost()
    for operation, inside in items:
        cost = cost.then(_one(str(operation), inside, length))
    return cost


def _one(operation: str, inside: Any, length: int) -> Cost:
    """Tell the cost of one node of the tree; what is not named here looks at one character."""
    match operation, inside:
        case "MAX_REPEAT" | "MIN_REPEAT", (least, most, body):
            return _repeated(_sequence(body, length), least, min(most, length))
        case "POSSESSIVE_REPEAT", (_, most, body):
            return _bounded(_sequence(body, length).steps * (min(most, length) + 1), 1)
        case "ATOMIC_GROUP", body:
            return _bounded(_sequence(body, length).steps, 1)
        case "ASSERT" | "ASSERT_NOT", (_, body):
            return _bounded(_sequence(body, length).steps, 1)
        case "SUBPATTERN", (_, _, _, body):
            return _sequence(body, length)
        case "BRANCH", (_, bodies):
            return _either(_sequence(body, length) for body in bodies)
        case "GROUPREF_EXISTS", (_, met, unmet):
            return _either(_sequence(body, length) for body in (met, unmet or ()))
        case "GROUPREF" | "GROUPREF_IGNORE", _:
            return _bounded(length, 1)
    return Cost()


def _repeated(body: Cost, least: int, most: int) -> Cost:
    """Tell the cost of a part that may stand there again and again: after each time, it may have been the last."""
    steps, ways, last = 1, 0, 1
    for count in range(most + 1):
        ways += last if count >= least else 0
        steps += last * body.steps
        last *= body.ways
        if steps > MOST_STEPS:
            break
    return _bounded(steps, max(1, ways))


def _either(costs: Iterable[Cost]) -> Cost:
    found = list(costs)
    return _bounded(sum(cost.steps for cost in found), sum(cost.ways for cost in found))


def _bounded(steps: int, ways: int) -> Cost:
    """Make a cost of numbers that stay small: beyond the bound it does not matter how far."""
    return Cost(min(steps, MOST_STEPS + 1), min(ways, MOST_STEPS + 1))
