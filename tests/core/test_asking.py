"""Whether a program is asked to end before it is made to: only where somebody is there who can be asked."""

import pytest
from attrs import evolve

from sessiond.core import events
from sessiond.core.events import Event
from sessiond.core.machine import step
from sessiond.core.services import Plan, Stop
from sessiond.core.session import Session
from sessiond.core.values import Exit, State, StopStep, Tcp

PLACE = Tcp("node8", 5900)
ASKING = (Stop(StopStep.ASK, 30.0), Stop(StopStep.TERM, 5.0), Stop(StopStep.KILL, 5.0))
STARTING = Session("s", "s", "s", Plan(stop=ASKING), 0.0, State.LAUNCHING, 0.0, slot=0, started=True)
READY = evolve(STARTING, state=State.READY, endpoint=PLACE)


@pytest.mark.parametrize(
    ("session", "event", "first"),
    [
        (STARTING, events.Release(), StopStep.TERM),  # start() has not returned
        (evolve(STARTING, endpoint=PLACE), events.Release(), StopStep.ASK),  # its client is being dialled for
        (STARTING, events.Failed("refused"), StopStep.TERM),
        (STARTING, events.Failed("raised", lives=True), StopStep.ASK),
        (STARTING, events.Exited(Exit(code=1)), StopStep.TERM),
        (READY, events.Release(), StopStep.ASK),
        (READY, events.Exited(Exit(code=0)), StopStep.TERM),
        (READY, events.Exited(Exit()), StopStep.ASK),  # lost: its input has closed, so it was asked
    ],
)
def test_first_step(session: Session, event: Event, first: StopStep) -> None:
    """What is ready, failed alive or was lost has the time of ``ask``; what is starting or gone has not."""
    after = step(session, event, 1.0).session
    assert after is not None
    assert (after.state, after.step) == (State.STOPPING, first)
