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
class Turn:
    """From an instant on, so many slots more have come free.

    :ivar after_s: in how many seconds that is.
    :ivar freed: by this alone.
    :ivar rate: by those who take the slot next: so many more in each second from then on.
    """

    after_s: float
    freed: float = 0.0
    rate: float = 0.0


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
    turns = sorted((t for s in seen for t in turns_of(s, lasted(s.service), share, now)), key=lambda turn: turn.after_s)
    # Half a slot less: then an estimate is as often too long as too short.
    return _reached(place - 0.5, turns)


def turns_of(session: Session, lasted: Sequence[float], share: float, now: float) -> Iterator[Turn]:
    """Give the ways in which an occupant may leave; what they free adds up to its share where it must leave at all."""
    bound, since = free_by(session), now if session.held_since is None else session.held_since
    bound_s = float("inf") if bound is None else max(0.0, bound - now)
    stays = session.state is not State.STOPPING
    left = [seconds - (now - since) for seconds in lasted if seconds > now - since] if stays else []
    weight = share / (len(left) + 1)
    for seconds in [*left, *([] if bound is None else [bound_s])]:
        yield Turn(min(seconds, bound_s), weight)
        yield from successors(min(seconds, bound_s), weight, lasted)


def successors(after_s: float, weight: float, lasted: Sequence[float]) -> Iterator[Turn]:
    """Give what those free who take a slot one after the other: nothing for a while, then one in each mean length.

    The while is what renewal theory has for many lengths: half of the mean where all last alike, less the more they
    differ.
    """
    mean = sum(lasted) / len(lasted) if lasted else 0.0
    if mean:
        spread = sum((seconds / mean - 1.0) ** 2 for seconds in lasted) / len(lasted)
        yield Turn(after_s + mean * max(0.0, 1.0 - spread) / 2, rate=weight / mean)


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


def _reached(wanted: float, turns: Sequence[Turn]) -> float | None:
    """Say when so many slots are expected to have come free; ``None`` if never.

    :param turns: the earliest first.
    """
    freed = rate = at_s = 0.0
    for turn in turns:
        if rate and freed + rate * (turn.after_s - at_s) >= wanted:
            break
        freed += rate * (turn.after_s - at_s) + turn.freed
        rate, at_s = rate + turn.rate, turn.after_s
        if freed >= wanted - 1e-9:
            return at_s
    return at_s + (wanted - freed) / rate if rate else None
