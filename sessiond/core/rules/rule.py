"""What a cell of the transition table holds, and the simplest ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from sessiond.core.draft import Draft, end, stop
from sessiond.core.errors import Code, Refused
from sessiond.core.values import Reason, State

Act = Callable[[Draft, Any], None]


@frozen
class Rule:
    """One cell of the table: what it does, and the states that it may lead to (none: it stays)."""

    act: Act
    to: tuple[State, ...] = ()

    def leading_to(self, *states: State) -> Rule:
        """Give the rule as it is for a state from which it leads only there."""
        return Rule(self.act, states)

    def __call__(self, d: Draft, event: Any) -> None:
        """Apply the rule within another one."""
        self.act(d, event)


def to(*states: State) -> Callable[[Act], Rule]:
    """Make a rule of a function that may lead to these states."""
    return lambda act: Rule(act, states)


def refuse(code: Code, detail: str = "") -> Rule:
    """Make a rule that turns the event away and changes nothing."""

    def act(d: Draft, event: object) -> None:
        raise Refused(code, detail)

    return Rule(act)


SAME = Rule(lambda d, event: None)
"""The event comes late or twice and changes nothing."""


def stopping(reason: Reason, *, announced: bool = False) -> Rule:
    """Make a rule that begins to end the session for one reason."""
    return Rule(lambda d, event: stop(d, reason, announced=announced), (State.STOPPING,))


def ending(reason: Reason) -> Rule:
    """Make a rule that ends a session of which nothing runs."""
    return Rule(lambda d, event: end(d, reason), (State.ENDED,))
