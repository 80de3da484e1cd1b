"""A daemon to which anything may happen in any order, held against the design's invariants after each step.

What happens is drawn by Hypothesis: requests, clients, children of every kind, a store that is full or slow, time, a
daemon that stands still, is killed, and starts again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher

from sessiond.core import events
from sessiond.core.services import Caps
from sessiond.core.session import Session
from sessiond.core.values import Deadline, End, Liveliness, State
from tests.broker.world import SERVICES, WARM, FakeClient, World
from tests.fakes.launchers import (
    ByHand,
    DiesAtOnce,
    FailsToStart,
    IgnoresKill,
    IgnoresTerm,
    NeverReady,
    PortSquatted,
    Prompt,
    Script,
)

SCRIPTS: tuple[Script, ...] = (
    Prompt(),
    Prompt(),
    Prompt(start_s=0.1, ready_s=3.0, ends_s=1.0),
    NeverReady(),
    DiesAtOnce(),
    IgnoresTerm(),
    IgnoresKill(),
    FailsToStart(),
    PortSquatted(),
    ByHand(),
)
NAMES = [*(service.name for service in SERVICES), WARM.name]
PICK = st.integers(0, 10_000)
ROUNDS = settings(
    max_examples=int(os.environ.get("SESSIOND_SOAK", "60")),
    stateful_step_count=80,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.target),  # shrinking such a machine takes minutes
    suppress_health_check=list(HealthCheck),
)


@contextmanager
def failures_logged() -> Iterator[list[str]]:
    """Gather what is logged as a defect of ours."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_level") is LogLevel.critical:
            found.append(str(event.get("log_failure") or event))

    observer = cast("ILogObserver", observe)
    globalLogPublisher.addObserver(observer)
    try:
        yield found
    finally:
        globalLogPublisher.removeObserver(observer)


class Daemon(RuleBasedStateMachine):
    """Everything that may happen."""

    @initialize()
    def begin(self) -> None:
        """Start the first daemon."""
        self.log = failures_logged()
        self.defects = self.log.__enter__()
        self.world = World(OFFERED, POOL_SIZES, CAPS)

    # -- callers -----------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), wait_s=st.sampled_from([None, 5.0, 55.0]), patient=st.booleans(),
          key=st.sampled_from([None, None, "k"]), script=st.sampled_from(SCRIPTS),
          owner=st.sampled_from(["ada", "ada", "bob", ""]), queues=st.sampled_from([True, True, False]))  # fmt: skip
    def reserve(self, name: str, script: Script, **more: Any) -> None:
        """Ask for a session whose program behaves somehow."""
        self.world.launcher.script = script
        self.world.reserve(name, **more)

    @rule(pick=PICK)
    def hang_up(self, pick: int) -> None:
        """Have a waiting caller leave."""
        waiting = [w for w in self.world.wanted if w.reservation and w.reservation.caller and not w.verdict]
        if waiting:
            chosen = waiting[pick % len(waiting)]
            chosen.left = True
            if chosen.reservation is not None and chosen.reservation.caller is not None:
                self.world.broker.leave(chosen.reservation.session.id, chosen.reservation.caller)

    @rule(pick=PICK, event=st.sampled_from(["release", "extend", "done", "ping", "ready", "disconnect"]))
    def order(self, pick: int, event: str) -> None:
        """Have somebody who may say something about a session."""
        sessions = self.world.broker.sessions()
        if not sessions:
            return
        session_id = sessions[pick % len(sessions)].id
        broker = self.world.broker
        if event in ("ping", "ready", "disconnect"):
            broker.report(session_id, Liveliness(event)).addErrback(lambda failure: None)
            return
        happens: dict[str, events.Event] = {
            "release": events.Release(),
            "extend": events.Extend(Deadline.CONNECT, self.world.now + 90.0),
            "done": events.ClientDone(),
        }
        broker.dispatch(session_id, happens[event]).addErrback(lambda failure: None)

    # -- clients -----------------------------------------------------------------------------------------------------

    @rule(pick=PICK)
    def connect(self, pick: int) -> None:
        """Have a browser come to some session."""
        sessions = self.world.broker.sessions()
        if sessions:
            self.world.connect(sessions[pick % len(sessions)].id)

    @rule(pick=PICK, what=st.sampled_from(["connected", "client", "endpoint", "ours"]))
    def tunnel(self, pick: int, what: str) -> None:
        """Have something happen to a tunnel."""
        open_ = [c for c in self.world.clients if c.admission and not c.told]
        if not open_:
            return
        client = open_[pick % len(open_)]
        if what == "connected":
            client.connected()
            client.active_at = self.world.now
        else:
            client.close(End(what))

    # -- children ----------------------------------------------------------------------------------------------------

    @rule(pick=PICK, what=st.sampled_from(["start", "become_ready", "exit", "crash", "vanish"]))
    def child(self, pick: int, what: str) -> None:
        """Have a child do something by itself."""
        children = [child for child in self.world.launcher.children.values() if not child.gone]
        if not children:
            return
        child = children[pick % len(children)]
        if what == "crash":
            child.exit(None, 11)
        else:
            getattr(child, what)()

    @rule(port=st.integers(11000, 11003))
    def squat(self, port: int) -> None:
        """Have a stranger take or leave a port."""
        self.world.leases.squatted ^= {port}

    # -- the machine -------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 4.0, 16.0, 61.0, 301.0, 4000.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.world.advance(seconds)

    @rule(seconds=st.sampled_from([6.0, 100.0, 10_000.0]))
    def stand_still(self, seconds: float) -> None:
        """Stop the daemon for a while, without its noticing."""
        self.world.clock.advance(seconds)

    @rule()
    def disk(self) -> None:
        """Fill the disk, or make room."""
        self.world.store.broken = not self.world.store.broken

    @rule()
    def slow_disk(self) -> None:
        """Have the disk take its time, or not any more."""
        self.world.store.slow = not self.world.store.slow
        self.world.store.flush()

    @precondition(lambda self: self.world.store.slow)
    @rule()
    def flush(self) -> None:
        """Have a slow disk come to its end."""
        self.world.store.flush()

    @rule()
    def kill_and_restart(self) -> None:
        """Kill the daemon wherever it is, and start another."""
        self.world.kill()
        self.world.store.slow = self.world.store.broken = False
        self.world.start()

    # -- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def answers_are_kept(self) -> None:
        """A caller hears of its session only once the store has it (6)."""
        assert all(wanted.kept for wanted in self.world.wanted if wanted.reservation is not None)

    @invariant()
    def slots_are_held_once(self) -> None:
        """Every session that is neither queued nor ended holds exactly one slot, and no slot is held twice (1)."""
        held = Counter((s.pool, s.slot) for s in self.world.broker._table if s.state.holds_slot)
        assert all(count == 1 for count in held.values()), held
        assert all(slot is not None and 0 <= slot < POOL_SIZES[pool] for pool, slot in held)

    @invariant()
    def counts_are_derived(self) -> None:
        """Every count equals a recount of the table (7)."""
        table = list(self.world.broker._table)
        for service in self.world.catalogue.services.values():
            count, used, queued = self.world.broker.usage(service)
            assert used == sum(s.pool == service.pool and s.state.holds_slot for s in table)
            assert queued == sum(s.pool == service.pool and s.state is State.QUEUED for s in table)
            assert used <= count
        saved, unsaved = self.world.broker._journal.saved, self.world.broker._journal.unsaved()
        known = unsaved <= {session.id for session in table}  # else one was forgotten that the store still knows
        for owner in ("ada", "bob", "") if known else ():
            alive = [s for s in table if s.owner == owner and s.claimed and counts(s, saved.get(s.id))]
            assert self.world.broker._table.owned(owner) == len(alive)
            for name in NAMES:
                assert self.world.broker._table.owned(owner, name) == sum(s.service == name for s in alive)

    @invariant()
    def caps_hold(self) -> None:
        """There are never more sessions than may be, neither in the table nor in the store: a crash lets none in."""
        for sessions in (list(self.world.broker._table), list(self.world.store.kept.values())):
            assert sum(s.state.holds_slot for s in sessions) <= (CAPS.sessions or 0)
            owned = Counter(s.owner for s in sessions if s.claimed and s.state is not State.ENDED)
            assert all(count <= (CAPS.of_owner(owner) or 0) for owner, count in owned.items()), owned
            shared = Counter(s.owner for s in sessions if s.service == "shared" and s.state is not State.ENDED)
            assert all(count <= 2 for count in shared.values())
            waiting = Counter(s.pool for s in sessions if s.state is State.QUEUED)
            assert all(count <= CAPS.queue for count in waiting.values())

    @invariant()
    def nobody_waits_for_what_is_free(self) -> None:
        """While somebody waits, either no slot of the pool is free, or as many sessions are there as may be."""
        pools = self.world.catalogue.pools.values()
        assert not self.world.broker.accepting or self.world.broker._table.next_in_line(pools, CAPS) is None

    @invariant()
    def everybody_has_a_deadline(self) -> None:
        """Nothing can wait for ever (2)."""
        assert all(session.deadlines for session in self.world.broker._table)

    @invariant()
    def no_program_outlives_its_session(self) -> None:
        """What is alive belongs to a session that holds a slot (3)."""
        for session_id in self.world.launcher.alive:
            session = self.world.broker._table.get(session_id)
            assert session is not None, f"{session_id} is alive and forgotten"
            assert session.state.holds_slot, f"{session_id} is alive and {session.state}"

    @invariant()
    def leases_are_held_once(self) -> None:
        """No port is leased to two sessions (4)."""
        leases = [lease for session in self.world.broker._table for lease in session.leases]
        assert len(leases) == len(set(leases))
        owners = {lease: session.id for session in self.world.broker._table for lease in session.leases}
        assert owners == self.world.broker._table.leased()
        self.world.leases.owners = {s.id: s.leases for s in self.world.broker._table}

    @invariant()
    def ended_sessions_open_nothing(self) -> None:
        """A token opens its own session or nothing, and an ended one's clients are cut (5)."""
        for session in self.world.broker._table:
            assert not (session.state is State.ENDED and (session.token_digest or session.tunnels))
        for client in self.world.clients:
            session_ = self.world.broker._journal.saved.get(client.session_id)
            if client.admission and not client.told and (session_ is None or session_.state is State.ENDED):
                raise AssertionError(f"{client} is still open")

    @invariant()
    def what_is_told_is_kept(self) -> None:
        """Sessions and facts that others see are in the store (6)."""
        assert dict(self.world.broker._journal.saved) == self.world.store.kept
        assert self.world.bus.facts == self.world.store.told
        versions: dict[str, int] = {}
        for stored in self.world.bus.facts:
            assert stored.fact.version >= versions.get(stored.fact.session_id, 0), "facts out of order"
            versions[stored.fact.session_id] = stored.fact.version

    @invariant()
    def nothing_failed_inside(self) -> None:
        """No defect of ours was logged (8)."""
        assert self.defects == []

    def teardown(self) -> None:
        """In the end everything is taken back: with a sound disk and mortal children, all is forgotten in time."""
        if not hasattr(self, "world"):
            return
        try:
            self.world.store.slow = self.world.store.broken = False
            self.world.store.flush()
            self.world.leases.squatted.clear()
            self.world.broker.accepting = False
            for _ in range(40):
                for child in list(self.world.launcher.children.values()):
                    if child.steps and not child.gone:
                        child.vanish()
                self.world.advance(4000.0)
            assert len(self.world.broker._table) == 0
            assert self.world.store.kept == {}
            assert self.world.launcher.alive == []
            assert self.world.clock.getDelayedCalls() == []
            assert len(self.world.broker._children) == 0
            assert len(self.world.broker._clients) == 0
            assert all(w.verdict or w.left or w.reservation.answer is None for w in self.world.wanted if w.reservation)
            assert self.defects == []
        finally:
            self.log.__exit__(None, None, None)


def counts(session: Session, saved: Session | None) -> bool:
    """Say whether a session counts for its owner: until the store knows that it has ended."""
    over = session.state is State.ENDED
    return not over or saved is None or saved.state is not State.ENDED


CAPS = Caps(sessions=8, per_owner=6, queue=3, owners={"bob": 3})
OFFERED = tuple(evolve(service, per_owner=2) if service.name == "shared" else service for service in (*SERVICES, WARM))
POOL_SIZES = {"plain": 2, "leased": 3, "lazy": 1, "shared": 2, "vital": 2, "warm": 2}

TestDaemon = pytest.mark.filterwarnings("ignore")(Daemon.TestCase)
TestDaemon.settings = ROUNDS


def test_a_fake_client_tells_its_end_once() -> None:
    """The model's own client keeps the contract that the invariants rely on."""
    world = World()
    session = world.ready("plain")
    client = world.tunnel(session.id)
    client.close(End.CLIENT)
    client.close(End.CLIENT)
    assert isinstance(client, FakeClient)
    assert world.facts_of(session.id).count("tunnel.closed") == 1
