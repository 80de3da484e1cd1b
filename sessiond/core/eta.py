"""When a queued session gets its slot, as far as those who hold the slots let anybody guess.

Two things are known of a session that holds a slot: how long the latest of its service lasted, and the instant by which
it must leave. So each occupant stands for the remainders of those that had lasted longer than it has until now, and for
its own bound beside them; whoever takes a slot next lasts as long as the latest did on average. The estimate is the
instant by which so many slots are expected to have come free. Where nothing has ended yet, only the bounds count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from sessiond.core.deadlines import next_deadline
from sessiond.core.session import Session
from sessiond.core.values import Deadline, State, StopStep

MOST_OCCUPANTS = 256
"""Of a larger pool only so many are looked at, evenly spread: asking must stay cheap."""


@frozen
class Leaving:
    """One way in which an occupant may leave.

    :ivar after_s: in how many seconds.
    :ivar weight: how likely that is, times the number of occupants that it stands for.
    :ivar turnover_s: how long each of its successors has the slot; infinite where nobody knows.
    """

    after_s: float
    weight: float
    turnover_s: float


def eta_s(
    place: int, occupants: Sequence[Session], lasted: Callable[[str], Sequence[float]], now: float
) -> float | None:
    """Say in how many seconds a queued session probably has a slot.

    :param place: its place in the queue, from 1.
    :param occupants: the sessions that hold the slots of its pool.
    :param lasted: gives, for a service, for how many seconds the latest of its sessions had their slots.
    :returns: ``None`` where nobody can say.
    """
    step = -(-len(occupants) // MOST_OCCUPANTS) or 1
    seen = occupants[::step]
    share = len(occupants) / len(seen) if seen else 0.0
    leavings = sorted((x for s in seen for x in leavings_of(s, lasted(s.service), share, now)), key=lambda x: x.after_s)
    # Half a slot less: then an estimate is as often too long as too short.
    return _reached(place - 0.5, leavings)


def leavings_of(session: Session, lasted: Sequence[float], share: float, now: float) -> Iterator[Leaving]:
    """Give the ways in which an occupant may leave; their weights add up to its share where it must leave at all."""
    turnover_s = sum(lasted) / len(lasted) if lasted and sum(lasted) else float("inf")
    bound, since = free_by(session), now if session.held_since is None else session.held_since
    bound_s = float("inf") if bound is None else max(0.0, bound - now)
    stays = session.state is not State.STOPPING
    left = [seconds - (now - since) for seconds in lasted if seconds > now - since] if stays else []
    weight = share / (len(left) + 1)
    for seconds in left:
        yield Leaving(min(seconds, bound_s), weight, turnover_s)
    if bound is not None:
        yield Leaving(bound_s, weight, turnover_s)


def free_by(session: Session) -> float | None:
    """Say by when (epoch seconds) a session leaves its slot unless it is given more time; ``None`` if nobody knows.

    A program that will not die is promised by nobody.
    """
    steps = session.plan.stop
    if session.state is not State.STOPPING:
        ends = [session.deadlines[name] for name in (Deadline.LINGER, Deadline.LIFETIME) if name in session.deadlines]
        return min(ends) + sum(stop.seconds for stop in steps) if ends else None
    upcoming = next_deadline(session)
    if upcoming is None or session.step is StopStep.STUCK:
        return None
    taken = next((i for i, stop in enumerate(steps) if stop.step is session.step), len(steps))
    return upcoming[1] + sum(stop.seconds for stop in steps[taken + 1 :])


def _reached(wanted: float, leavings: Sequence[Leaving]) -> float | None:
    """Say when so many slots are expected to have come free.

    Until an instant t each leaving counts its weight, and once more for every turnover between it and t.
    """
    base = rate = 0.0
    for leaving in leavings:
        if rate and base + rate * leaving.after_s >= wanted:
            break
        base += leaving.weight * (1.0 - leaving.after_s / leaving.turnover_s)
        rate += leaving.weight / leaving.turnover_s
        if base + rate * leaving.after_s >= wanted - 1e-9:
            return leaving.after_s
    return (wanted - base) / rate if rate else None
