"""Sessions as callers, clients and operators see them: whole lives on a Clock."""

from __future__ import annotations

import pytest
from attrs import evolve

from sessiond.broker import Broker
from sessiond.core import events
from sessiond.core.effects import Verdict
from sessiond.core.errors import Code, Refused
from sessiond.core.services import Limits
from sessiond.core.values import Deadline, End, Exit, Liveliness, Reason, State, StopStep
from tests.broker.world import POOLS, SERVICES, WARM, World
from tests.fakes.launchers import ByHand, DiesAtOnce, FailsToStart, IgnoresKill, IgnoresTerm, NeverReady, PortSquatted


def test_a_whole_life() -> None:
    """Reserve, launch, ready, connect, leave, linger, stop, ended, forgotten: each told once and in order."""
    world = World()
    session = world.ready("plain", owner="ada")
    assert session.state is State.READY
    client = world.tunnel(session.id)
    assert world.state(session.id) is State.CONNECTED
    client.close(End.CLIENT)
    assert world.state(session.id) is State.READY
    world.advance(15.0)
    assert world.state(session.id) is State.ENDED
    assert world.broker.session(session.id).reason is Reason.LINGERED
    assert world.launcher.children[session.id].steps == [StopStep.TERM]
    assert world.launcher.children[session.id].tidied == 1
    world.advance(3600.0)
    assert world.facts_of(session.id) == [
        "session.reserved",
        "session.launching",
        "session.ready",
        "tunnel.opened",
        "tunnel.closed",
        "session.stopping",
        "session.ended",
        "session.forgotten",
    ]
    with pytest.raises(Refused):
        world.broker.session(session.id)


def test_full_is_said_at_once() -> None:
    """Without a queue the next caller is told that all places are taken, and when to come back."""
    world = World()
    for _ in range(POOLS["plain"]):
        world.ready("plain")
    refused = world.reserve("plain").refused
    assert refused is not None
    assert refused.code is Code.FULL
    assert refused.retry_after_s is not None


def test_a_slot_that_comes_free_goes_to_the_queue() -> None:
    """The first who waits is served first."""
    world = World()
    first = world.ready("lazy")
    waiting = [world.reserve("lazy"), world.reserve("lazy")]
    assert [w.reservation and w.reservation.session.state for w in waiting] == [State.QUEUED, State.QUEUED]
    ids = [w.reservation.session.id for w in waiting if w.reservation]
    assert [world.broker.queue_place(world.broker.session(i)) for i in ids] == [1, 2]
    world.broker.dispatch(first.id, events.Release())
    assert world.state(ids[0]) is State.RESERVED
    assert world.state(ids[1]) is State.QUEUED


def test_queue_timeout() -> None:
    """Who waits too long is told so."""
    world = World()
    world.ready("lazy")
    waiting = world.reserve("lazy", wait_s=55.0)
    world.advance(30.0)
    assert waiting.verdict is Verdict.ENDED
    assert waiting.reservation is not None
    assert world.broker.session(waiting.reservation.session.id).reason is Reason.QUEUE_TIMEOUT


def test_waiting_callers_hear_of_readiness() -> None:
    """``wait: ready`` is answered when the program is ready, also for a service that launches on connect."""
    world = World()
    waiting = world.reserve("lazy", wait_s=55.0)
    assert waiting.verdict is None
    world.advance(0.0)
    assert waiting.verdict is Verdict.READY


def test_a_patient_caller_is_told_later_and_its_session_goes_on() -> None:
    """A wire that can say "later" says it; the session is launched all the same."""
    world = World()
    world.launcher.script = NeverReady()
    waiting = world.reserve("plain", wait_s=5.0)
    world.advance(5.0)
    assert waiting.verdict is Verdict.LATER
    assert waiting.reservation is not None
    assert world.state(waiting.reservation.session.id) is State.LAUNCHING


def test_an_impatient_caller_takes_its_session_along() -> None:
    """A wire that can't say "later" ends the session when its time is over."""
    world = World()
    world.launcher.script = NeverReady()
    waiting = world.reserve("plain", wait_s=5.0, patient=False)
    world.advance(5.0)
    assert waiting.verdict is Verdict.ENDED


@pytest.mark.parametrize(("key", "state"), [(None, State.ENDED), ("again", State.READY)])
def test_a_caller_who_hangs_up(key: str | None, state: State) -> None:
    """The last waiting caller takes an unready session along, unless it can come back by its key."""
    world = World()
    world.launcher.script = ByHand(obeys=(StopStep.TERM,))
    waiting = world.reserve("plain", wait_s=55.0, key=key, owner="ada")
    assert waiting.reservation is not None
    assert waiting.reservation.caller is not None
    session_id = waiting.reservation.session.id
    world.broker.leave(session_id, waiting.reservation.caller)
    if key is not None:
        world.launcher.children[session_id].become_ready()
    world.advance(0.0)
    assert world.state(session_id) is state


def test_a_repeated_request_finds_its_session() -> None:
    """The same key gives the same session with a new token; the old token opens nothing."""
    world = World()
    first = world.reserve("plain", owner="ada", key="k").reservation
    second = world.reserve("plain", owner="ada", key="k").reservation
    other = world.reserve("plain", owner="bob", key="k").reservation
    assert first is not None
    assert second is not None
    assert other is not None
    assert first.session.id == second.session.id != other.session.id
    assert world.broker.by_token(second.token).id == first.session.id
    with pytest.raises(Refused):
        world.broker.by_token(first.token)


def test_a_key_names_one_request() -> None:
    """A key that comes again with other wishes is refused, whatever its session is."""
    world = World()
    world.reserve("plain", owner="ada", key="k")
    for other in ({"name": "shared"}, {"name": "plain", "options": {"size": "large"}}):
        refused = world.reserve(**other, owner="ada", key="k").refused
        assert refused is not None
        assert refused.code is Code.BAD_REQUEST


@pytest.mark.parametrize(
    ("script", "reason", "cause"),
    [
        (FailsToStart(), Reason.LAUNCH_FAILED, "command not found: nowhere"),
        (DiesAtOnce(), Reason.LAUNCH_FAILED, "the program ended with status 1 before it was ready"),
        (NeverReady(), Reason.LAUNCH_TIMEOUT, ""),
        (PortSquatted(), Reason.LAUNCH_FAILED, "port 11000 is taken by another program"),
    ],
)
def test_starts_that_fail(script: object, reason: Reason, cause: str) -> None:
    """Each has its reason and its cause, and the slot comes back."""
    world = World()
    session = world.ready("plain", script=script)  # type: ignore[arg-type]
    world.advance(61.0)
    ended = world.broker.session(session.id)
    assert (ended.state, ended.reason, ended.cause) == (State.ENDED, reason, cause)
    assert world.broker.usage(world.broker.service("plain"))[1] == 0
    assert not world.launcher.alive


def test_no_port_is_a_reason_of_its_own() -> None:
    """A program is not even started where no port can be taken."""
    world = World()
    world.leases.squatted = set(range(11000, 11004))
    session = world.ready("leased")
    assert (session.state, session.reason) == (State.ENDED, Reason.NO_PORT)
    assert not world.launcher.launches


def test_leases_stay_in_quarantine_until_they_bind() -> None:
    """An ended session keeps its port until a strict bind succeeds; the next gets another."""
    world = World()
    first = world.ready("leased")
    port = first.leases[0].number
    world.leases.squatted = {port}
    world.broker.dispatch(first.id, events.Release())
    world.advance(0.0)
    assert world.broker.session(first.id).leases == first.leases
    assert world.ready("leased").leases[0].number != port
    world.leases.squatted = set()
    world.advance(1.0)
    assert world.broker.session(first.id).leases == ()


def test_stop_steps_are_taken_one_after_another() -> None:
    """A program that ignores TERM is killed; one that can't be killed is stuck, seen, and keeps its slot."""
    world = World()
    stubborn = world.ready("plain", IgnoresTerm())
    world.broker.dispatch(stubborn.id, events.Release())
    world.advance(5.1)
    assert world.launcher.children[stubborn.id].steps == [StopStep.TERM, StopStep.KILL]
    assert world.state(stubborn.id) is State.ENDED
    stuck = world.ready("plain", IgnoresKill())
    world.broker.dispatch(stuck.id, events.Release())
    world.advance(41.0)
    session = world.broker.session(stuck.id)
    assert (session.state, session.step) == (State.STOPPING, StopStep.STUCK)
    assert world.broker.usage(world.broker.service("plain"))[1] == 1
    assert world.facts_of(stuck.id).count("session.stuck") == 2
    world.launcher.children[stuck.id].vanish()
    assert world.state(stuck.id) is State.ENDED


def test_a_dying_program_names_the_reason_to_its_client() -> None:
    """The socket closes first, the exit comes 0.5 s later: the client hears of the crash and not of a closed socket."""
    world = World()
    session = world.ready("plain")
    client = world.tunnel(session.id)
    client.close(End.ENDPOINT)
    world.advance(0.5)
    assert client.cuts == []
    world.launcher.children[session.id].exit(3)
    assert client.cuts == [(4500, "crashed")]
    ended = world.broker.session(session.id)
    assert (ended.reason, ended.exit) == (Reason.CRASHED, Exit(3))


def test_a_program_that_only_closes_the_connection_lives_on() -> None:
    """No exit within a second: the client is let go, and the session waits for the next."""
    world = World()
    session = world.ready("plain")
    client = world.tunnel(session.id)
    client.close(End.ENDPOINT)
    world.advance(1.0)
    assert client.cuts == [(1000, "closed by the application")]
    assert world.state(session.id) is State.READY


def test_a_client_is_cut_however_slow_the_disk_is() -> None:
    """An endpoint without a program of ours closes while the disk is slow: its client is cut once that is saved."""
    world = World()
    session = world.ready("plain")
    client = world.tunnel(session.id)
    world.broker._table.put(evolve(world.broker.session(session.id), program=None))
    world.store.slow = True
    client.close(End.ENDPOINT)
    assert client.cuts == []
    world.store.flush()
    assert client.cuts == [(1000, "closed by the application")]
    assert len(world.broker._clients) == 0


def test_a_client_is_cut_whose_dial_is_saved_meanwhile() -> None:
    """A session is released while the disk still has the dial to keep: the client is cut all the same."""
    world = World()
    session = world.ready("plain")
    client = world.connect(session.id)
    world.store.slow = True
    client.connected()
    world.broker.dispatch(session.id, events.Release())
    world.store.flush()
    assert client.cuts == [(4410, "released")]
    assert len(world.broker._clients) == 0


def test_an_endpoint_that_does_not_answer() -> None:
    """The client is told that the program can't be reached."""
    world = World()
    session = world.ready("plain")
    client = world.connect(session.id)
    client.close(End.ENDPOINT)
    world.advance(1.0)
    assert client.cuts == [(4502, "unreachable")]


def test_one_client_too_many_is_refused_and_a_newcomer_may_take_over() -> None:
    """``clients = 1`` refuses the second; ``takeover`` lets it in and cuts the first."""
    world = World()
    plain = world.ready("plain")
    world.tunnel(plain.id)
    refused = world.connect(plain.id).refused
    assert refused is not None
    assert refused.code is Code.ALREADY_CONNECTED
    lazy = world.ready("lazy")
    first, second = world.tunnel(lazy.id), world.tunnel(lazy.id)
    assert first.cuts == [(4409, "already-connected")]
    assert second.cuts == []
    assert world.state(lazy.id) is State.CONNECTED


def test_a_client_whose_program_closed_takes_no_place() -> None:
    """It only waits to hear whether the program has ended; meanwhile another may come, and neither harms the other."""
    world = World()
    session = world.ready("plain")
    first = world.tunnel(session.id)
    first.close(End.ENDPOINT)
    second = world.tunnel(session.id)
    assert world.connect(session.id).refused is not None
    world.advance(1.0)
    assert first.cuts == [(1000, "closed by the application")]
    assert second.cuts == []
    assert world.state(session.id) is State.CONNECTED
    world.launcher.children[session.id].exit(3)
    world.advance(0.0)
    assert [code for code, _ in second.cuts] == [4500]


def test_activity_that_only_memory_knows_of_keeps_a_session() -> None:
    """Bytes are not saved; the idle deadline looks at them before it ends anything."""
    world = World()
    session = world.ready("shared")
    client = world.tunnel(session.id)
    world.advance(50.0)
    client.active_at = world.now
    world.advance(50.0)
    assert world.state(session.id) is State.CONNECTED
    world.advance(11.0)
    assert world.broker.session(session.id).reason is Reason.IDLE
    assert "session.warning" in world.facts_of(session.id)


def test_liveliness() -> None:
    """Silence makes a session suspect, a ping takes that back, longer silence ends it."""
    world = World()
    session = world.ready("vital")
    world.advance(12.0)
    assert world.broker.session(session.id).suspect
    world.broker.report(session.id, Liveliness.PING)
    assert not world.broker.session(session.id).suspect
    world.advance(11.0)
    writes = world.store.writes
    world.broker.report(session.id, Liveliness.PING)
    assert world.store.writes == writes
    world.advance(12.0)
    assert world.broker.session(session.id).suspect
    world.advance(5.0)
    assert world.broker.session(session.id).reason is Reason.HEARTBEAT_LOST


def test_warm_sessions_are_claimed_and_made_anew() -> None:
    """A caller gets the warm session at once, and another is warmed in its place."""
    world = World((*SERVICES, WARM))
    world.advance(0.0)
    warm = [s for s in world.broker.sessions() if s.service == "warm"]
    assert [s.state for s in warm] == [State.READY]
    claimed = world.ready("warm", owner="ada")
    assert claimed.id == warm[0].id
    assert claimed.owner == "ada"
    assert Deadline.CONNECT in claimed.deadlines
    assert [s.claimed for s in world.broker.sessions() if s.service == "warm"] == [True, False]


def test_a_failing_service_is_suspended() -> None:
    """After five failed starts in a row callers are told to come back later; the daemon serves others."""
    world = World()
    world.launcher.script = DiesAtOnce()
    for _ in range(5):
        world.reserve("plain")
        world.advance(0.0)
    refused = world.reserve("plain").refused
    assert refused is not None
    assert refused.code is Code.SUSPENDED
    world.launcher.script = ByHand(start_s=0.0, ready_s=0.0)
    assert world.ready("leased").state is State.READY
    world.advance(6.0)
    assert world.ready("plain").state is State.READY


def test_extend_within_the_caps() -> None:
    """A reclaim is pushed on, but never beyond the lifetime, and the lifetime never beyond its cap."""
    world = World()
    session = world.ready("plain")
    world.broker.dispatch(session.id, events.Extend(Deadline.CONNECT, world.now + 600.0))
    assert world.broker.session(session.id).deadlines[Deadline.CONNECT] == pytest.approx(world.now + 600.0)
    far = world.now + 1e9
    world.broker.dispatch(session.id, events.Extend(Deadline.CONNECT, far))
    after = world.broker.session(session.id).deadlines
    assert after[Deadline.CONNECT] == after[Deadline.LIFETIME] < far


def test_a_full_disk_refuses_newcomers_and_ends_nobody_late() -> None:
    """Reserving says that nothing can be recorded; what is over is killed all the same, and told once saved."""
    world = World()
    session = world.ready("plain")
    world.store.broken = True
    refused = world.reserve("plain").refused
    assert refused is not None
    assert refused.code is Code.STORE_UNAVAILABLE
    assert world.broker.usage(world.broker.service("plain"))[1] == 1
    done: list[object] = []
    world.broker.dispatch(session.id, events.Release()).addCallback(done.append)
    world.advance(0.5)
    assert done == []
    assert not world.launcher.alive
    assert world.state(session.id) is State.READY
    assert world.broker.unsaved == 1
    world.store.broken = False
    world.advance(1.0)
    assert len(done) == 1
    assert world.state(session.id) is State.ENDED
    assert world.broker.unsaved == 0
    assert world.facts_of(session.id)[-2:] == ["session.stopping", "session.ended"]


def test_a_full_disk_lets_no_client_in() -> None:
    """A client is told at once that nothing can be recorded, instead of waiting for the disk."""
    world = World()
    sessions = [world.ready("plain"), world.ready("plain")]
    world.store.broken = True
    world.broker.dispatch(sessions[0].id, events.Release())
    refused = world.connect(sessions[1].id).refused
    assert refused is not None
    assert refused.code is Code.STORE_UNAVAILABLE
    world.store.broken = False
    world.advance(2.0)
    assert world.connect(sessions[1].id).refused is None


def test_nothing_is_launched_before_it_is_saved() -> None:
    """A slow disk delays the launch, not the decision."""
    world = World()
    world.store.slow = True
    world.reserve("plain")
    assert [w.kept for w in world.wanted] == [False]
    assert not [i for i in world.launcher.launches if i.startswith("plain")]
    assert world.broker.usage(world.broker.service("plain"))[1] == 1
    world.store.flush()
    assert [w.kept for w in world.wanted] == [True]
    assert [i for i in world.launcher.launches if i.startswith("plain")]


def test_signs_of_life_before_a_standstill_count() -> None:
    """What only memory knew, a ping or a client's last byte, is hardly older once the daemon goes on."""
    world = World()
    vital, shared = world.ready("vital"), world.ready("shared")
    client = world.tunnel(shared.id)
    client.connected()
    world.advance(5.0)
    world.broker.report(vital.id, Liveliness.PING)
    client.active_at = world.now
    world.clock.rightNow += 600.0
    world.advance(6.0)
    assert not world.broker.session(vital.id).suspect
    assert world.state(vital.id) is State.READY
    world.advance(47.0)
    assert world.state(shared.id) is State.CONNECTED


def test_a_daemon_that_stood_still_kills_nobody() -> None:
    """After a pause of an hour every deadline but the lifetime has moved on by it."""
    world = World()
    session = world.ready("plain")
    before = dict(session.deadlines)
    world.clock.advance(3600.0)
    after = world.broker.session(session.id)
    assert after.state is State.READY
    assert after.deadlines[Deadline.LIFETIME] == before[Deadline.LIFETIME]
    assert after.deadlines[Deadline.CONNECT] == pytest.approx(before[Deadline.CONNECT] + 3595.0)


def test_a_restart_ends_what_it_can_not_carry_on() -> None:
    """Children of the last run are ended as ``lost``; a reservation is kept, and its token still opens it."""
    world = World()
    running = world.ready("plain")
    reserved = world.reserve("lazy").reservation
    assert reserved is not None
    world.kill()
    assert running.id in world.launcher.alive
    world.start()
    world.advance(0.0)
    assert world.broker.session(running.id).reason is Reason.LOST
    assert running.id not in world.launcher.alive
    assert world.broker.by_token(reserved.token).state is State.RESERVED


def test_a_restart_tells_nothing_that_only_the_last_run_knew() -> None:
    """A start takes as long as it takes to save that clients are gone and programs are ended; then that is told."""
    world = World()
    session = world.ready("plain")
    world.tunnel(session.id)
    world.kill()
    world.store.slow = True
    world.start()
    world.advance(0.0)
    assert not world.broker.accepting
    while not world.broker.accepting:
        assert world.state(session.id) is not State.ENDED
        world.store.flush()
    assert world.state(session.id) in (State.STOPPING, State.ENDED)
    assert world.broker.session(session.id).tunnels == ()


def test_a_full_disk_is_no_reason_not_to_start() -> None:
    """A start waits a while for what it found to be saved, and then serves what needs no saving."""
    world = World()
    session = world.ready("plain")
    world.kill()
    world.store.broken = True
    world.start()
    assert not world.broker.accepting
    world.advance(5.0)
    assert world.broker.accepting
    assert session.id not in world.launcher.alive
    world.store.broken = False
    world.advance(2.0)
    assert world.state(session.id) is State.ENDED


def test_closing_ends_everything() -> None:
    """Callers and clients are told, programs are ended, and nothing is left on the clock."""
    world = World()
    session = world.ready("plain", IgnoresTerm())
    client = world.tunnel(session.id)
    closed = world.run(world.broker.close(10.0))
    world.advance(11.0)
    assert closed.called
    assert client.cuts == [(1001, "shutdown")]
    assert not world.launcher.alive
    assert world.broker.session(session.id).reason is Reason.SHUTDOWN
    assert world.clock.getDelayedCalls() == []
    refused = world.reserve("plain").refused
    assert refused is not None
    assert refused.code is Code.SHUTTING_DOWN


def test_unknown_names_are_refused() -> None:
    """A service, a session or a token that is not there has its own code."""
    world = World()
    refused = world.reserve("nothing").refused
    assert refused is not None
    assert refused.code is Code.UNKNOWN_SERVICE
    with pytest.raises(Refused) as caught:
        world.broker.session("nothing")
    assert caught.value.code is Code.UNKNOWN_SESSION
    assert isinstance(world.broker, Broker)


def test_a_zero_retention_forgets_soon() -> None:
    """The record goes when the operator wants it gone."""
    plan = evolve(SERVICES[0].plan, limits=Limits(retention_s=0.0))
    world = World([evolve(SERVICES[0], plan=plan)], {"plain": 1})
    session = world.ready("plain")
    world.broker.dispatch(session.id, events.Release())
    world.advance(0.1)
    assert session.id not in world.store.kept
