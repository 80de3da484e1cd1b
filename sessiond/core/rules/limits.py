"""Limits that pass, and limits that are moved."""

from __future__ import annotations

from typing import Any

from sessiond.core import events
from sessiond.core.draft import RECLAIMS, Draft, next_step, stop
from sessiond.core.errors import Code, Refused
from sessiond.core.facts import FactType
from sessiond.core.rules.rule import to
from sessiond.core.values import Deadline, Reason, State


@to()
def extend(d: Draft, event: events.Extend) -> None:
    """Push a reclaim deadline, never beyond what the service allows and never nearer."""
    session, limits = d.session, d.session.plan.limits
    armed = session.deadlines.get(event.deadline)
    if event.deadline not in RECLAIMS or armed is None:
        raise Refused(Code.NOT_ACCEPTING, f"no deadline {event.deadline.value} is running")
    if event.deadline is Deadline.LIFETIME:
        cap = session.created_at + (limits.lifetime_cap_s or limits.lifetime_s)
    else:
        cap = session.deadlines[Deadline.LIFETIME]
    at = max(armed, min(event.at, cap))
    if at > armed:
        d.arm_at(event.deadline, at)
        d.tell(FactType.EXTENDED, deadline=event.deadline.value, at=at)


@to()
def set_deadline(d: Draft, event: events.SetDeadline) -> None:
    """A dialect moves its own deadline; the lifetime can be moved but never cleared."""
    limits = d.session.plan.limits
    if event.deadline is Deadline.LIFETIME and event.at is not None:
        cap = d.session.created_at + (limits.lifetime_cap_s or limits.lifetime_s)
        d.arm_at(Deadline.LIFETIME, min(event.at, cap))
    elif event.deadline is Deadline.SETUP:
        d.arm_at(Deadline.SETUP, event.at)
    else:
        raise Refused(Code.NOT_ACCEPTING, f"the deadline {event.deadline.value} can't be set so")


@to(State.STOPPING)
def idle_due(d: Draft, event: events.Due) -> None:
    """No byte from any client for too long, unless one came that only memory knew of."""
    limits = d.session.plan.limits
    if limits.idle_s is None:
        d.disarm(Deadline.IDLE)
    elif event.seen_at is not None and event.seen_at + limits.idle_s > d.now:
        d.arm_at(Deadline.IDLE, event.seen_at + limits.idle_s)
    else:
        stop(d, Reason.IDLE)


@to()
def warn(d: Draft, event: events.Due) -> None:
    """Tell that a reclaim is near, unless the client was active meanwhile."""
    limits, idle_at = d.session.plan.limits, d.session.deadlines.get(Deadline.IDLE)
    if idle_at is not None and limits.idle_s is not None and event.seen_at is not None:
        d.arm_at(Deadline.IDLE, max(idle_at, event.seen_at + limits.idle_s))
    name, at = next_reclaim(d.session.deadlines)
    if name is not None and limits.warning_s is not None and at - limits.warning_s <= d.now:
        d.set(warned_of={**d.session.warned_of, name: at})
        d.tell(FactType.WARNING, deadline=name.value, at=at)


def next_reclaim(deadlines: Any) -> tuple[Deadline | None, float]:
    """Give the reclaim that comes first, and when."""
    armed = [(deadlines[name], name) for name in RECLAIMS if name in deadlines]
    at, name = min(armed, key=lambda pair: pair[0], default=(float("inf"), None))
    return name, at


@to()
def step_due(d: Draft, event: events.Due) -> None:
    """The step did not do it: take the next."""
    next_step(d)


@to()
def forget(d: Draft, event: events.Due) -> None:
    """The record is old enough, once nothing is leased in its name any more."""
    if d.session.leases:
        d.arm(Deadline.RETENTION, d.session.plan.limits.retention_s or 1.0)
    else:
        d.tell(FactType.FORGOTTEN)
        d.disarm(Deadline.RETENTION)
