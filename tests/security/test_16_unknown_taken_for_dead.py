"""A launcher that fails, hangs or talks nonsense about a program: what is not known to be gone is not taken for gone.

There is one moment yet at which a launcher is asked how things stand: when a daemon starts on what another left.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from attrs import define, field

from sessiond.core import events
from sessiond.core.services import Plan
from sessiond.core.session import Session
from sessiond.core.values import Exit, Program, Reason, State, Tcp
from sessiond.ports import Tell
from tests.broker.test_invariants import failures_logged
from tests.broker.world import World, service
from tests.fakes.launchers import ByHand, FakeChild, FakeLauncher, IgnoresTerm, Prompt
from tests.reactor import LoggedFailures

SERVICES = (service("desk", Plan(queueing=True)), service("other", Plan()))
POOLS = {"desk": 1, "other": 1}


class Failing(FakeLauncher):
    """Fails to say what is left of a program, so many times."""

    times = 0

    def recover(self, session: Session, tell: Tell) -> FakeChild:
        """Fail, or find it."""
        self.times -= 1
        if self.times >= 0:
            raise OSError("the cluster does not answer")
        return super().recover(session, tell)


class Silent(FakeLauncher):
    """Takes the question, and never answers it."""

    def recover(self, session: Session, tell: Tell) -> FakeChild:
        """Say nothing."""
        child = self.children[session.id]
        child.tell = tell
        return child


def left_behind(launcher: FakeLauncher) -> tuple[World, str]:
    """Give the machine of a daemon that was killed, on which a program runs on."""
    world = World(SERVICES, POOLS)
    world.launcher = launcher
    launcher.clock = world.clock
    world.start()
    session_id = world.ready("desk", IgnoresTerm()).id
    world.kill()
    assert world.launcher.alive == [session_id]
    return world, session_id


def check_kept(world: World, session_id: str) -> None:
    """Hold that a session whose program may live is not over, keeps its slot, and harms nobody else."""
    session = world.broker.session(session_id)
    assert session.state is State.STOPPING
    assert world.broker.usage(SERVICES[0])[1] == 1
    waiting = world.reserve("desk").reservation
    assert waiting is not None
    assert waiting.session.state is State.QUEUED
    assert world.ready("other").state is State.READY


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_launcher_that_fails(times: int, logged_failures: LoggedFailures) -> None:
    """It is asked again with each stop step; until it answers, nobody gets the slot, and then the program is ended."""
    launcher = Failing(World().clock)
    world, session_id = left_behind(launcher)
    launcher.times = times
    world.start()
    assert world.broker.accepting
    for _ in range(100):
        if launcher.times < 0:
            break
        assert session_id in launcher.alive
        assert world.state(session_id) is State.STOPPING
        world.advance(1.0)
    assert len(logged_failures.take(OSError)) == times
    world.advance(31.0)
    assert session_id not in launcher.alive
    assert world.broker.session(session_id).reason is Reason.LOST
    assert world.state(session_id) is State.ENDED


def test_a_launcher_that_fails_for_ever(logged_failures: LoggedFailures) -> None:
    """The session is stuck and seen; it keeps its slot for as long as nobody knows."""
    launcher = Failing(World().clock)
    world, session_id = left_behind(launcher)
    launcher.times = 1_000_000
    world.start()
    world.advance(1000.0)
    check_kept(world, session_id)
    assert logged_failures.take(OSError)
    assert world.facts_of(session_id).count("session.stuck") > 10


def test_a_launcher_that_hangs() -> None:
    """A start waits for no answer about a program; its session is taken through its stop steps and ends with it."""
    launcher = Silent(World().clock)
    world, session_id = left_behind(launcher)
    launcher.children[session_id].script = ByHand()
    world.start()
    assert world.broker.accepting
    world.advance(100.0)
    check_kept(world, session_id)
    launcher.children[session_id].vanish()
    assert world.state(session_id) is State.ENDED


def nonsense() -> Iterator[tuple[events.Event, ...]]:
    """Give what no program can do, in every order."""
    told: tuple[events.Event, ...] = (
        events.Started(None),
        events.Started(Program(1, 2, "another boot")),
        events.Ready(Tcp("127.0.0.1", 1)),
        events.Failed("not now"),
        events.Exited(Exit()),
    )
    yield from itertools.permutations(told, 3)


@define
class Odd:
    """What one order of nonsense led to."""

    order: tuple[events.Event, ...]
    world: World = field(factory=lambda: World(SERVICES, POOLS))


@pytest.mark.parametrize("state", [State.LAUNCHING, State.READY, State.CONNECTED])
def test_a_launcher_that_talks_nonsense(state: State) -> None:
    """Whatever it tells of a program, the session is over only when its tree is gone, and then it is."""
    for odd in map(Odd, nonsense()):
        world = odd.world
        script = ByHand() if state is State.LAUNCHING else Prompt(obeys=())
        session_id = world.ready("desk", script).id
        if state is State.CONNECTED:
            world.tunnel(session_id)
        child = world.launcher.children[session_id]
        with failures_logged() as failures:
            for event in odd.order:
                child.tell(event)
            world.advance(3.0)
            assert world.state(session_id) is not State.ENDED, odd
            child.exited = False
            child.vanish()
            world.advance(0.0)
            assert world.state(session_id) is State.ENDED, odd
        assert failures == []
