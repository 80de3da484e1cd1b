"""A client connects while its session is being taken back: in every order there is a tunnel to a live session, or none.

The events are what a daemon hears in those milliseconds; the clock and the disk are fakes, so that every order can be
tried, and every place at which the disk comes to its end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from attrs import define, field

from sessiond.core import events
from sessiond.core.services import Limits, Plan
from sessiond.core.values import Deadline, End, LaunchWhen, State
from tests.broker.world import FakeClient, World, service
from tests.fakes.launchers import Prompt

LIMITS = Limits(reservation_s=50.0, connect_s=50.0, linger_s=50.0, idle_s=50.0, lifetime_s=1000.0)
SLOW_END = Prompt(ends_s=0.5)


@define
class Race:
    """A session, one of whose deadlines is just passing, and what happens at the same instant."""

    deadline: Deadline
    slow_disk: bool
    world: World = field(init=False)
    session_id: str = field(init=False)
    clients: list[FakeClient] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        launch = LaunchWhen.ON_CONNECT if self.deadline is Deadline.RESERVATION else LaunchWhen.ON_RESERVE
        self.world = World((service("desk", Plan(limits=LIMITS, launch=launch, clients=2)),), {"desk": 1})
        self.session_id = self.world.ready("desk", SLOW_END).id
        if self.deadline in (Deadline.LINGER, Deadline.IDLE):
            client = self.world.tunnel(self.session_id)
            client.active_at = self.world.now
            self.clients.append(client)
            if self.deadline is Deadline.LINGER:
                client.close(End.CLIENT)
        if self.deadline is Deadline.LIFETIME:
            self.world.broker.dispatch(self.session_id, events.Extend(Deadline.CONNECT, self.world.now + 1000.0))
        due = self.world.broker.session(self.session_id).deadlines[self.deadline]
        self.world.advance(due - self.world.now - 0.001)
        self.world.store.slow = self.slow_disk

    def expire(self) -> None:
        """Let the deadline pass."""
        self.world.advance(0.002)

    def connect(self) -> None:
        """Have a client come."""
        self.clients.append(self.world.connect(self.session_id))

    def dialled(self) -> None:
        """Have the program answer whoever was dialled."""
        for client in self.clients:
            client.connected()

    def save(self) -> None:
        """Have the disk come to its end, as far as it is asked now."""
        self.world.store.flush()

    def check(self) -> None:
        """Hold that no client is on a session that is over, and that one on a live session is counted there."""
        session = self.world.broker._table.get(self.session_id)
        over = session is None or session.state is State.ENDED
        saved = self.world.broker._journal.saved.get(self.session_id)
        for client in self.clients:
            if client.admission is None or client.told:
                continue
            number = client.admission.number
            assert session is not None, "a live tunnel to a forgotten session"
            if session.tunnel(number) is None:
                # It was cut in this step: it is let go once that is saved.
                assert saved is not None
                assert saved.version < session.version
            else:
                assert not over, "a live tunnel to a dead session"

    def settle(self) -> None:
        """Let everything come to rest, and hold how it ended."""
        self.world.store.slow = False
        for _ in range(3):
            self.world.store.flush()
            self.world.advance(0.0)
            self.dialled()
        self.check()
        state, alive = self.world.state(self.session_id), self.session_id in self.world.launcher.alive
        inside = [c for c in self.clients if c.admission is not None and not c.told]
        if inside:
            assert state is State.CONNECTED
            assert alive
            assert all(client.dials for client in inside)
        else:
            assert all(client.told or client.refused is not None for client in self.clients)
        self.world.advance(2000.0)
        assert self.world.state(self.session_id) is State.ENDED
        assert not self.world.launcher.alive
        assert all(client.told or client.refused is not None for client in self.clients)


HAPPENS: dict[str, Callable[[Race], None]] = {
    "expire": Race.expire,
    "connect": Race.connect,
    "dialled": Race.dialled,
    "save": Race.save,
}


def orders() -> Iterator[tuple[str, ...]]:
    """Give every order of an expiry, a connect and what follows it, with the disk coming to its end in between."""
    for happened in itertools.permutations(("expire", "connect", "dialled")):
        for saves in itertools.product((0, 1), repeat=4):
            order: list[str] = []
            for save, event in zip(saves, (*happened, None), strict=True):
                order += ["save"] * save + ([event] if event is not None else [])
            yield tuple(order)


RACES = (Deadline.RESERVATION, Deadline.CONNECT, Deadline.LINGER, Deadline.IDLE, Deadline.LIFETIME)


@pytest.mark.parametrize("deadline", RACES)
@pytest.mark.parametrize("slow_disk", [False, True])
def test_every_order(deadline: Deadline, slow_disk: bool) -> None:
    """Whatever comes first, the client has a live session or is told that there is none."""
    outcomes = set()
    for order in orders():
        race = Race(deadline, slow_disk)
        for name in order:
            HAPPENS[name](race)
            race.check()
        race.settle()
        newcomer = race.clients[-1]
        outcomes.add("refused" if newcomer.refused is not None else "let in")
    # Both ways of the race were seen.
    assert outcomes == {"let in", "refused"}


def test_a_client_that_comes_first_stays() -> None:
    """A connect before the expiry cancels it: the client keeps its session."""
    race = Race(Deadline.LINGER, slow_disk=False)
    race.connect()
    race.dialled()
    race.expire()
    assert race.world.state(race.session_id) is State.CONNECTED
    assert race.clients[-1].cuts == []
    race.clients[-1].close(End.CLIENT)
    race.settle()


def test_a_client_that_comes_last_loses_cleanly() -> None:
    """A connect after the expiry is refused in words, and reaches no program."""
    race = Race(Deadline.LINGER, slow_disk=False)
    race.expire()
    race.connect()
    refused = race.clients[-1].refused
    assert refused is not None
    assert refused.code.value == "not-accepting"
    assert race.clients[-1].dials == []
    race.settle()
