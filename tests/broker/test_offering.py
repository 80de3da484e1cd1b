"""Services that come and go while the daemon runs, as the parties of a folder do."""

from __future__ import annotations

import pytest
from attrs import evolve

from sessiond.core.errors import Code
from sessiond.core.services import Limits, Plan
from sessiond.core.values import Deadline, State
from tests.broker.world import WARM, World, service


def test_comes() -> None:
    """A service that is put in can be had at once, from a pool that is there."""
    world = World()
    refused = world.reserve("late").refused
    assert refused is not None
    assert refused.code is Code.UNKNOWN_SERVICE
    world.broker.put_service(evolve(service("late", Plan()), pool="plain"))
    session = world.ready("late")
    assert (session.service, session.pool) == ("late", "plain")


def test_without_a_pool() -> None:
    """One whose pool is not there is none."""
    world = World()
    with pytest.raises(KeyError):
        world.broker.put_service(service("late", Plan()))
    assert "late" not in world.broker.catalogue.services


def test_changes() -> None:
    """What is put in the place of another holds for those who come; who is there goes on under his own terms."""
    world = World()
    first = world.ready("plain")
    world.broker.put_service(service("plain", Plan(limits=Limits(connect_s=5.0))))
    second = world.ready("plain")
    for session, left_s in ((first, 60.0), (second, 5.0)):
        deadlines = world.broker.session(session.id).deadlines
        assert deadlines[Deadline.CONNECT] - session.since == pytest.approx(left_s)


def test_goes() -> None:
    """One that is gone can't be had; its sessions go on, and end as they would have."""
    world = World()
    session = world.ready("plain")
    world.broker.remove_service("plain")
    world.broker.remove_service("plain")
    refused = world.reserve("plain").refused
    assert refused is not None
    assert refused.code is Code.UNKNOWN_SERVICE
    world.advance(30.0)
    assert world.broker.session(session.id).state is State.READY
    world.advance(40.0)
    assert world.broker.session(session.id).state is State.ENDED


def test_is_warmed() -> None:
    """One that keeps a session warm has it as soon as it is there."""
    world = World()
    world.broker.put_service(WARM)
    world.advance(0.0)
    assert [session.state for session in world.broker.sessions()] == [State.READY]
    world.broker.remove_service("warm")
    world.advance(1.0)
    assert len(world.broker.sessions()) == 1
