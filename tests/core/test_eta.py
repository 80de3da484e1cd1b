"""When a queued session gets its slot: what is certain, and what may be guessed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from sessiond.core.eta import MOST_OCCUPANTS, eta_s, free_by
from sessiond.core.services import Limits, Plan, Stop
from sessiond.core.session import Session
from sessiond.core.values import Deadline, State, StopStep
from tests.core.sessions import NOW, blank

PLAN = Plan(limits=Limits(lifetime_s=1000.0), stop=(Stop(StopStep.TERM, 4.0), Stop(StopStep.KILL, 3.0)))


def occupant(held_s: float = 0.0, lifetime_s: float = 1000.0) -> Session:
    """Make a session that has held its slot for a while, and may for so long yet."""
    deadlines = {Deadline.LIFETIME: NOW + lifetime_s}
    return evolve(blank(PLAN), state=State.CONNECTED, slot=0, held_since=NOW - held_s, deadlines=deadlines)


def stopping(step: StopStep) -> Session:
    """Make a session that is being ended, and has two seconds left for this step."""
    return evolve(occupant(), state=State.STOPPING, step=step, deadlines={Deadline.STEP: NOW + 2.0})


def eta(place: int, occupants: Sequence[Session], lasted: Sequence[float] = ()) -> float | None:
    """Guess, where all sessions are of one service."""
    return eta_s(place, occupants, lambda service: lasted, NOW)


def test_only_bounds() -> None:
    """Where nothing has ended yet, a slot comes free when a lifetime and the stop steps are over."""
    occupants = [occupant(lifetime_s=300.0), occupant(lifetime_s=100.0)]
    assert [eta(place, occupants) for place in (1, 2, 3)] == [107.0, 307.0, None]


def test_no_occupant() -> None:
    """Where nobody holds a slot, nothing tells."""
    assert eta(1, []) is None
    assert eta(1, [], [10.0]) is None


@pytest.mark.parametrize(("step", "bound_s"), [(StopStep.TERM, 5.0), (StopStep.KILL, 2.0), (StopStep.STUCK, None)])
def test_being_ended(step: StopStep, bound_s: float | None) -> None:
    """Who is being ended leaves within the steps that are left, unless it will not die; earlier ones tell nothing."""
    assert eta(1, [stopping(step)]) == bound_s
    assert eta(1, [stopping(step)], [600.0] * 5) == bound_s


def test_lingering() -> None:
    """Whose client has gone leaves when its time to come back is over."""
    deadlines = {Deadline.LIFETIME: NOW + 900.0, Deadline.LINGER: NOW + 9.0}
    session = evolve(occupant(), state=State.READY, deadlines=deadlines)
    assert free_by(session) == NOW + 16.0


def test_by_those_who_lasted_longer() -> None:
    """An occupant stands for the remainders of those that had lasted longer than it has."""
    lasted = [100.0, 110.0, 120.0]
    assert eta(1, [occupant(held_s=0.0)], lasted) == 110.0
    assert eta(1, [occupant(held_s=50.0)], lasted) == 60.0
    assert eta(1, [occupant(held_s=115.0)], lasted) == 5.0
    assert eta(1, [occupant(held_s=500.0)], lasted) == 1007.0  # outlasted all: only its bound is known


def test_no_longer_than_its_bound() -> None:
    """Nobody is expected to stay longer than it may."""
    assert eta(1, [occupant(lifetime_s=30.0)], [600.0] * 9) == 37.0


def test_many_occupants() -> None:
    """The more hold a slot, the sooner one is free, and the further back, the later."""
    lasted = [float(seconds) for seconds in range(10, 100, 10)]
    few, many = ([occupant()] * count for count in (2, 20))
    ones = [eta(1, occupants, lasted) or 0.0 for occupants in (few, many)]
    assert ones[0] > ones[1] > 0
    told = [eta(place, few, lasted) or 0.0 for place in range(1, 30)]
    assert told == sorted(told)
    # In the long run two slots give one in half the mean length, or a bit more: either may be kept to its bound.
    assert 25.0 < (told[28] - told[8]) / 20 < 30.0


def test_many_more_occupants() -> None:
    """Of very many occupants some are looked at, and stand for all."""
    lasted = [float(seconds) for seconds in range(10, 100, 10)]
    spread = [occupant(held_s=float(number % 90)) for number in range(MOST_OCCUPANTS)]
    exact, sampled = eta(40, spread, lasted), eta(400, spread * 10, lasted)
    assert exact is not None
    assert sampled == pytest.approx(exact, rel=0.1)


def test_at_once() -> None:
    """Sessions that lasted no time at all break nothing."""
    assert eta(1, [occupant()], [0.0, 0.0]) == 1007.0
