"""Sessions in every state, found by walking the table at random, and one sample of every event."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

from attrs import evolve

from sessiond.core import events
from sessiond.core.errors import Refused
from sessiond.core.machine import ROWS, TABLE, create, step
from sessiond.core.services import Limits, Plan, Stop
from sessiond.core.session import Caller, Session
from sessiond.core.values import (
    Clients,
    Deadline,
    End,
    Exit,
    LaunchWhen,
    Lease,
    LeaseKind,
    Liveliness,
    Program,
    State,
    Stdio,
    StopStep,
    Tcp,
    Watch,
)

NOW = 1_000_000.0
WAY_IN = (State.QUEUED, State.RESERVED, State.LAUNCHING, State.READY, State.CONNECTED)
RELUCTANCE = 0.9
"""How often a walk takes back a step that ends its session: most events do, and the states behind would stay unseen."""
FULL_LIMITS = Limits(idle_s=600.0, suspect_s=12.0, liveliness_s=17.0, setup_s=900.0, warning_s=30.0, lifetime_cap_s=1e6)
FULL_STOP = (
    Stop(StopStep.DRAIN, 2.0),
    Stop(StopStep.ASK, 2.0),
    Stop(StopStep.TERM, 5.0),
    Stop(StopStep.KILL, 5.0),
)
PLANS = (
    Plan(),
    Plan(limits=FULL_LIMITS, stop=FULL_STOP, clients=2, leases=(LeaseKind.PORT,), ready_by_report=True),
    Plan(limits=FULL_LIMITS, launch=LaunchWhen.ON_CONNECT, clients=Clients.ONCE, queueing=True),
    Plan(stop=FULL_STOP, launch=LaunchWhen.ON_CONNECT, clients=Clients.TAKEOVER, retry_dial=True),
    Plan(limits=FULL_LIMITS, launch=LaunchWhen.WARM, watch=Watch.CHILD, clients=64),
)


def blank(plan: Plan = PLANS[0], *, claimed: bool = True, key: str | None = None) -> Session:
    """Give a session that has no place yet."""
    return Session(
        id="clock-aaaaaa",
        service="clock",
        pool="clock",
        plan=plan,
        created_at=NOW,
        state=State.QUEUED,
        since=NOW,
        owner="ada",
        token_digest=b"digest",
        nonce="nonce",
        child_secret="secret",
        claimed=claimed,
        key=key,
    )


def samples(session: Session, now: float) -> Iterator[events.Event]:
    """Give at least one event of every type, as it might happen to this session."""
    numbers = [tunnel.number for tunnel in session.tunnels] + [99]
    callers = [caller.number for caller in session.callers] + [98]
    yield events.Granted(1)
    yield events.Claim("bob", b"other digest", "key")
    for patient in (True, False):
        yield events.CallerWaits(Caller(1000 + session.version, now + 5.0, patient))
    for caller in callers:
        yield events.CallerGone(caller)
    yield events.Leased((Lease(LeaseKind.PORT, 11000), Lease(LeaseKind.DISPLAY, 100)))
    yield events.Started(Program(4711, 42, "boot"))
    yield events.Started(None)
    yield events.Failed("command not found")
    yield events.Ready(Tcp("127.0.0.1", 11000))
    yield events.Ready(Stdio())
    for what in Liveliness:
        yield events.Report(what, Tcp("127.0.0.1", 11000))
    yield events.TunnelOpened(2000 + session.version)
    for number in numbers:
        yield events.Dialled(number)
        for end in End:
            yield events.TunnelClosed(number, end)
    yield events.ClientDone()
    for deadline in Deadline:
        yield events.Extend(deadline, now + 100.0)
        yield events.SetDeadline(deadline, now + 100.0)
        yield events.SetDeadline(deadline, None)
        yield events.Due(deadline, None)
        yield events.Due(deadline, now - 1.0)
    yield events.Release()
    for exit_ in (Exit(0), Exit(3), Exit(signal=9), Exit()):
        yield events.Exited(exit_, ("last words",))
    yield events.Gone(("last words",))
    yield events.PortTaken(11000)
    yield events.PortsFree(session.leases[:1])
    yield events.Restarted()
    yield events.Resumed(60.0)
    yield events.Shutdown()
    yield events.Shutdown(kill=True)


def can_happen(session: Session, event: events.Event) -> bool:
    """Say whether the table has a place for the event, and whether a deadline that is due was armed."""
    if isinstance(event, events.Due):
        return event.deadline in session.deadlines and (session.state, event.deadline) in TABLE
    return (session.state, type(event)) in TABLE


def begin(plan: Plan, rng: random.Random) -> Session:
    """Give a session as it enters the table."""
    caller = rng.choice((None, Caller(1, NOW + 55.0), Caller(1, NOW + 55.0, patient=False)))
    slot = rng.choice((None, 0)) if plan.queueing else 0
    claimed = plan.launch is not LaunchWhen.WARM
    start = create(blank(plan, claimed=claimed, key=rng.choice((None, "k"))), events.Reserve(slot, caller), NOW)
    if start.session is None:
        raise AssertionError("a session was forgotten as it was made")
    return start.session


def walk(seed: int, steps: int) -> Iterator[tuple[Session, events.Event, float]]:
    """Walk the table at random: give each session with the event that is about to happen to it."""
    rng = random.Random(seed)
    session, now = begin(rng.choice(PLANS), rng), NOW
    for _ in range(steps):
        possible = [event for event in samples(session, now) if can_happen(session, event)]
        event = rng.choice(possible)
        now = max(now + rng.random(), session.deadlines[event.deadline] if isinstance(event, events.Due) else 0.0)
        yield session, event, now
        try:
            after = step(session, event, now).session
        except Refused:
            after = session
        leaves = after is None or (after.state is not session.state and after.state not in WAY_IN)
        if leaves and rng.random() < RELUCTANCE:
            continue
        if after is None or rng.random() < 0.01:
            session, now = begin(rng.choice(PLANS), rng), NOW
        else:
            session = after


def lived(plan: Plan, *happened: events.Event) -> Session:
    """Give a session to which just this has happened."""
    session = create(blank(plan), events.Reserve(0), NOW).session
    for event in happened:
        session = None if session is None else step(session, event, NOW).session
    if session is None:
        raise AssertionError("a session was forgotten on its way")
    return session


STARTED, READY = events.Started(Program(4711, 42, "boot")), events.Ready(Tcp("127.0.0.1", 11000))
RARE = (
    # Its endpoint has closed, and its exit is waited for.
    lived(PLANS[0], STARTED, READY, events.TunnelOpened(1), events.Dialled(1), events.TunnelClosed(1, End.ENDPOINT)),
    # Its program has been silent for too long.
    evolve(lived(PLANS[1], STARTED, READY, events.TunnelOpened(1), events.Dialled(1)), reported_at=NOW - 20.0),
    # Only its client's dial can tell whether it is ready.
    lived(PLANS[3], events.TunnelOpened(1), STARTED, READY),
)
"""Sessions that hardly any walk comes by."""


def by_state(per_state: int = 40) -> dict[State, list[Session]]:
    """Give different sessions in each state, with every deadline that the table knows of armed in some of them."""
    found: defaultdict[State, list[Session]] = defaultdict(list)
    for session, _, _ in walk(seed=7, steps=20_000):
        if len(found[session.state]) < per_state and found[session.state][-1:] != [session]:
            found[session.state].append(session)
    for session in RARE:
        found[session.state].append(session)
    for state, sessions in found.items():
        for key in ROWS:
            if isinstance(key, Deadline) and (state, key) in TABLE:
                armed = {**sessions[0].deadlines, key: NOW}
                sessions.append(evolve(sessions[0], deadlines=armed))
    return dict(found)
