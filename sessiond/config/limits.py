"""A service's time limits and stop steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import fields

from sessiond.config.table import Table, list_of
from sessiond.config.units import Unfit, seconds
from sessiond.core.services import DEFAULT_STOP, Limits, Stop
from sessiond.core.values import StopStep

LONGEST_S = 10 * 365 * 86400.0
KILL = Stop(StopStep.KILL, 5.0)
ZERO_ALLOWED = frozenset({"linger", "queue", "flush"})
"""Limits that may be over at once."""

NAMED_STEPS = {step.value: step for step in (StopStep.DRAIN, StopStep.ASK, StopStep.TERM, StopStep.KILL)}
"""The steps that a list may hold; ``stuck`` is no choice."""


def read_limits(service: Table) -> Limits:
    """Read ``limits``; keys are those of :class:`~sessiond.core.services.Limits` without their ``_s``."""
    table = service.table("limits")
    read: dict[str, Any] = {}
    for field in fields(Limits):
        key, optional = field.name.removesuffix("_s"), field.default is None
        reader = partial(_limit, optional=optional, least=0.0 if key in ZERO_ALLOWED else 0.001)
        read[field.name] = table.read(key, reader, field.default)
    table.done()
    limits = Limits(**read)
    _check(limits, table)
    return limits


def read_stop(service: Table, usual: tuple[Stop, ...] = DEFAULT_STOP) -> tuple[Stop, ...]:
    """Read ``stop``: steps from gentle to hard, such as ``["term 5s", "kill 5s"]``; ``kill 5s`` ends every list."""
    steps = service.read("stop", list_of(_stop), usual)
    hardness = list(StopStep)
    places = [hardness.index(stop.step) for stop in steps]
    if places != sorted(set(places)):
        service.fault("stop", "each step stands once, in the order drain, ask, term, kill")
    return steps if steps and steps[-1].step is StopStep.KILL else (*steps, KILL)


def _limit(value: object, *, optional: bool, least: float) -> float | None:
    if optional and value == "off":
        return None
    limit_s = seconds(value)
    if not least <= limit_s <= LONGEST_S:
        raise Unfit("a duration above zero is needed" if limit_s < least else "that is longer than ten years")
    return limit_s


def _check(limits: Limits, table: Table) -> None:
    """Refuse limits that contradict each other; each is (broken, key, what is wrong)."""
    cap, suspect, liveliness = limits.lifetime_cap_s, limits.suspect_s, limits.liveliness_s
    rules: list[tuple[Callable[[], bool], str, str]] = [
        (lambda: cap is not None and cap < limits.lifetime_s, "lifetime_cap", "is shorter than lifetime"),
        (lambda: suspect is not None and liveliness is None, "suspect", "does nothing without liveliness"),
        (
            lambda: suspect is not None and liveliness is not None and suspect >= liveliness,
            "suspect",
            "must be shorter than liveliness",
        ),
        (
            lambda: limits.warning_s is not None and limits.warning_s >= limits.lifetime_s,
            "warning",
            "must be shorter than lifetime",
        ),
    ]
    for broken, key, what in rules:
        if broken():
            table.fault(key, what)


def _stop(value: object) -> Stop:
    word, _, limit = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if word not in NAMED_STEPS:
        raise Unfit('a step and its time are needed, such as "term 5s"; steps are drain, ask, term, kill')
    limit_s = seconds(limit)
    if limit_s > LONGEST_S:
        raise Unfit("that is longer than ten years")
    return Stop(NAMED_STEPS[word], limit_s)
