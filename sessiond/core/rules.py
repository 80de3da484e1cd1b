"""The rules of the transition table: what each event does. Each names the states it may lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

from sessiond.core import events
from sessiond.core.draft import (
    EXIT_WAIT_S,
    RECLAIMS,
    Draft,
    answer,
    await_client,
    close_stdin,
    connect,
    dial_waiting,
    drop_tunnel,
    end,
    evict,
    launch,
    next_step,
    stop,
    take_step,
    watch_liveliness,
)
from sessiond.core.effects import Answer, Cut, FreeLeases, Halt, Launch, Verdict
from sessiond.core.errors import Code, Refused
from sessiond.core.facts import FactType
from sessiond.core.services import Stop
from sessiond.core.session import Caller, Tunnel, TunnelPhase
from sessiond.core.values import (
    Deadline,
    End,
    Exit,
    LaunchWhen,
    Liveliness,
    Reason,
    State,
    StopStep,
)

Act = Callable[[Draft, Any], None]


@frozen
class Rule:
    """One cell of the table: what it does, and the states that it may lead to (none: it stays)."""

    act: Act
    to: tuple[State, ...] = ()

    def __call__(self, d: Draft, event: Any) -> None:
        """Apply the rule within another one."""
        self.act(d, event)


def to(*states: State) -> Callable[[Act], Rule]:
    """Make a rule of a function that may lead to these states."""
    return lambda act: Rule(act, states)


def refuse(code: Code, detail: str = "") -> Rule:
    """Make a rule that turns the event away and changes nothing."""

    def act(d: Draft, event: object) -> None:
        raise Refused(code, detail)

    return Rule(act)


SAME = Rule(lambda d, event: None)
"""The event comes late or twice and changes nothing."""


def stopping(reason: Reason, *, announced: bool = False) -> Rule:
    """Make a rule that begins to end the session for one reason."""
    return Rule(lambda d, event: stop(d, reason, announced=announced), (State.STOPPING,))


def ending(reason: Reason) -> Rule:
    """Make a rule that ends a session of which nothing runs."""
    return Rule(lambda d, event: end(d, reason), (State.ENDED,))


# -- the way in ------------------------------------------------------------------------------------------------------


@to(State.QUEUED, State.RESERVED, State.LAUNCHING)
def reserve(d: Draft, event: events.Reserve) -> None:
    """Take the slot or a place in the queue; launch where somebody waits or the service says so."""
    limits = d.session.plan.limits
    d.arm(Deadline.LIFETIME, limits.lifetime_s)
    if event.caller is not None:
        wait(d, event.caller)
    if event.slot is None:
        d.arm(Deadline.QUEUE, limits.queue_s)
        d.tell(FactType.QUEUED)
    else:
        take_slot(d, event.slot)


@to(State.RESERVED, State.LAUNCHING)
def grant(d: Draft, event: events.Granted) -> None:
    """Leave the queue for a slot."""
    d.disarm(Deadline.QUEUE)
    take_slot(d, event.slot)


def take_slot(d: Draft, slot: int) -> None:
    """Hold a slot, and launch where nothing speaks for waiting."""
    d.set(state=State.RESERVED, slot=slot)
    d.arm(Deadline.RESERVATION, d.session.plan.limits.reservation_s)
    d.tell(FactType.RESERVED, slot=slot)
    if d.session.plan.launch is not LaunchWhen.ON_CONNECT or d.session.callers:
        launch(d)


def wait(d: Draft, caller: Caller) -> None:
    """Count one more waiting caller; the earliest limit of all is the session's ``answer`` deadline."""
    d.set(callers=(*d.session.callers, caller))
    d.arm_at(Deadline.ANSWER, min(c.until for c in d.session.callers))


@to()
def claim(d: Draft, event: events.Claim) -> None:
    """Give the session to its caller: from now on this token opens it and no other."""
    fresh = not d.session.claimed
    d.set(owner=event.owner, token_digest=event.token_digest, key=event.key, claimed=True)
    d.tell(FactType.CLAIMED)
    if fresh and d.session.state is State.READY:
        await_client(d)


@to()
def wait_more(d: Draft, event: events.CallerWaits) -> None:
    """One more caller waits while the session is on its way."""
    wait(d, event.caller)


@to(State.LAUNCHING)
def wait_and_launch(d: Draft, event: events.CallerWaits) -> None:
    """Somebody waits for a session that only a client would have started: start it."""
    wait(d, event.caller)
    launch(d)


def answer_at_once(verdict: Verdict) -> Rule:
    """Make a rule that answers a caller who need not wait."""
    return Rule(lambda d, event: d.want(Answer(event.caller.number, verdict)))


@to(State.ENDED, State.STOPPING)
def caller_left(d: Draft, event: events.CallerGone) -> None:
    """The last waiting caller takes an unready session with it, unless it can come back by its key."""
    callers = tuple(caller for caller in d.session.callers if caller.number != event.number)
    if callers == d.session.callers:
        return
    d.set(callers=callers)
    d.arm_at(Deadline.ANSWER, min((c.until for c in callers), default=None))
    if callers or d.session.key is not None or d.session.tunnels:
        return
    if d.session.state is State.LAUNCHING:
        stop(d, Reason.CALLER_GONE)
    else:
        end(d, Reason.CALLER_GONE)


@to(State.ENDED, State.STOPPING)
def answer_due(d: Draft, event: events.Due) -> None:
    """Tell callers whose limit has passed "later"; a wire that can't say so takes the session with it."""
    due = [caller for caller in d.session.callers if caller.until <= d.now]
    if all(caller.patient for caller in due):
        d.want(*(Answer(caller.number, Verdict.LATER) for caller in due))
        left = tuple(caller for caller in d.session.callers if caller not in due)
        d.set(callers=left)
        d.arm_at(Deadline.ANSWER, min((c.until for c in left), default=None))
    elif d.session.state is State.LAUNCHING:
        stop(d, Reason.LAUNCH_TIMEOUT)
    else:
        end(d, Reason.QUEUE_TIMEOUT)


# -- the program -----------------------------------------------------------------------------------------------------


@to()
def leased(d: Draft, event: events.Leased) -> None:
    """The numbers are ours: start the program."""
    d.set(leases=event.leases)
    d.want(Launch())


@to()
def started(d: Draft, event: events.Started) -> None:
    """The program runs."""
    d.set(program=event.program, started=True)


@to(State.STOPPING)
def failed(d: Draft, event: events.Failed) -> None:
    """The program could not be started."""
    stop(d, event.reason, event.cause, exited=True)


@to(State.STOPPING)
def port_taken(d: Draft, event: events.PortTaken) -> None:
    """A stranger has the port: no byte may reach it."""
    d.tell(FactType.PORT_TAKEN, port=event.port)
    stop(d, Reason.LAUNCH_FAILED, f"port {event.port} is taken by another program")


@to(State.READY, State.CONNECTED)
def ready(d: Draft, event: events.Ready) -> None:
    """The program accepts connections; where only a dial can tell, waiting clients dial first."""
    d.set(endpoint=event.endpoint)
    waiting = any(tunnel.phase is TunnelPhase.WAITING for tunnel in d.session.tunnels)
    if d.session.plan.retry_dial and waiting:
        dial_waiting(d, retry=True)
    elif d.session.plan.retry_dial and d.session.tunnels:
        return
    else:
        accept(d)


def accept(d: Draft) -> None:
    """Leave ``launching``: callers are told, waiting clients are dialled."""
    d.tell(FactType.READY)
    answer(d, Verdict.READY)
    watch_liveliness(d)
    if d.session.tunnels:
        connect(d)
    else:
        await_client(d)


@to(State.STOPPING)
def exited_early(d: Draft, event: events.Exited) -> None:
    """The program ended before it was ready."""
    note_exit(d, event)
    if event.exit.known:
        stop(d, Reason.LAUNCH_FAILED, f"the program {describe(event.exit)} before it was ready", exited=True)
    else:
        stop(d, Reason.LOST, exited=True)


@to(State.STOPPING)
def exited(d: Draft, event: events.Exited) -> None:
    """The program ended by itself."""
    note_exit(d, event)
    reason = Reason.LOST if not event.exit.known else Reason.EXITED if event.exit.clean else Reason.CRASHED
    stop(d, reason, f"the program {describe(event.exit)}" if reason is Reason.CRASHED else "", exited=True)


@to()
def note_exit(d: Draft, event: events.Exited) -> None:
    """Keep how the program ended; the first word counts."""
    if d.session.exit is None:
        d.set(exit=event.exit, tail=event.tail)


def describe(exit_: Exit) -> str:
    """Say in words how a program ended."""
    return f"was ended by signal {exit_.signal}" if exit_.signal is not None else f"ended with status {exit_.code}"


@to(State.ENDED)
def gone(d: Draft, event: events.Gone) -> None:
    """Nothing is left of the tree."""
    if event.tail:
        d.set(tail=event.tail)
    end(d, Reason.LOST)


@to()
def ports_free(d: Draft, event: events.PortsFree) -> None:
    """Give leases back that were shown to be free."""
    d.set(leases=tuple(lease for lease in d.session.leases if lease not in event.leases))


# -- the child's own reports -----------------------------------------------------------------------------------------


@to(State.READY, State.CONNECTED, State.STOPPING)
def report_early(d: Draft, event: events.Report) -> None:
    """A report before readiness: a ping is only noted, ``ready`` counts where the service waits for it."""
    d.set(reported_at=d.now)
    if event.what is Liveliness.DISCONNECT:
        stop(d, Reason.LAUNCH_FAILED, "the program disconnected before it was ready", announced=True)
    elif event.what is Liveliness.READY and d.session.plan.ready_by_report and event.endpoint is not None:
        ready(d, events.Ready(event.endpoint))


@to(State.STOPPING)
def report(d: Draft, event: events.Report) -> None:
    """A sign of life takes the flag back; ``disconnect`` announces the end."""
    d.set(reported_at=d.now)
    if event.what is Liveliness.DISCONNECT:
        stop(d, Reason.FINISHED, announced=True)
        return
    if d.session.suspect:
        d.set(suspect=False)
        d.tell(FactType.RECOVERED)
    watch_liveliness(d)


@to(State.STOPPING)
def silence(d: Draft, event: events.Due) -> None:
    """The child has been silent: first it is suspect, then it has lost its heartbeat."""
    limits = d.session.plan.limits
    heard = max(event.seen_at or 0.0, d.session.reported_at or d.session.since)
    d.set(reported_at=heard)
    if limits.liveliness_s is None:
        d.disarm(Deadline.LIVELINESS)
    elif heard + limits.liveliness_s <= d.now:
        stop(d, Reason.HEARTBEAT_LOST)
    elif limits.suspect_s is not None and heard + limits.suspect_s > d.now:
        d.arm_at(Deadline.LIVELINESS, heard + limits.suspect_s)
    else:
        if limits.suspect_s is not None and not d.session.suspect:
            d.set(suspect=True)
            d.tell(FactType.SUSPECT)
        d.arm_at(Deadline.LIVELINESS, heard + limits.liveliness_s)


# -- tunnels ---------------------------------------------------------------------------------------------------------


def admit(d: Draft, number: int) -> None:
    """Count a client in, or refuse it where it would be one too many."""
    if d.session.full:
        raise Refused(Code.ALREADY_CONNECTED)
    evict(d)
    d.set(tunnels=(*d.session.tunnels, Tunnel(number, TunnelPhase.WAITING)))


@to(State.LAUNCHING)
def open_and_launch(d: Draft, event: events.TunnelOpened) -> None:
    """The first client starts the program."""
    admit(d, event.number)
    launch(d)


@to()
def open_and_wait(d: Draft, event: events.TunnelOpened) -> None:
    """A client waits for the program."""
    admit(d, event.number)
    if d.session.endpoint is not None:
        dial_waiting(d, retry=True)


@to(State.CONNECTED)
def open_(d: Draft, event: events.TunnelOpened) -> None:
    """A client is carried to the program."""
    admit(d, event.number)
    connect(d)


@to(State.CONNECTED)
def dialled_early(d: Draft, event: events.Dialled) -> None:
    """A dial got through, so the program is ready."""
    if d.session.tunnel(event.number) is not None:
        accept(d)
        dialled(d, event)


@to()
def dialled(d: Draft, event: events.Dialled) -> None:
    """Bytes flow."""
    if d.session.tunnel(event.number) is None:
        return
    limits = d.session.plan.limits
    d.set(tunnels=d.session.with_phase(event.number, TunnelPhase.OPEN))
    if not d.session.served:
        d.arm(Deadline.SETUP, limits.setup_s)
    d.set(served=True)
    d.arm(Deadline.IDLE, limits.idle_s)
    d.tell(FactType.TUNNEL_OPENED, tunnel=event.number)


@to(State.READY)
def closed_early(d: Draft, event: events.TunnelClosed) -> None:
    """A client left while the program was starting."""
    if d.session.tunnel(event.number) is None:
        return
    drop_tunnel(d, event.number, event.end.value, event.detail)
    if not d.session.tunnels and d.session.endpoint is not None:
        accept(d)


@to(State.READY)
def closed(d: Draft, event: events.TunnelClosed) -> None:
    """A tunnel ended. Where the endpoint closed it, the program may be dying: its exit may name the reason yet."""
    tunnel = d.session.tunnel(event.number)
    if tunnel is None:
        return
    if event.end is End.ENDPOINT and d.session.program is not None and tunnel.phase not in LATE:
        phase = TunnelPhase.CLOSING if tunnel.phase is TunnelPhase.OPEN else TunnelPhase.UNREACHED
        d.set(tunnels=d.session.with_phase(event.number, phase))
        d.arm(Deadline.EXIT, EXIT_WAIT_S)
        return
    if event.end is End.ENDPOINT:
        d.want(cut_by_endpoint(tunnel))
    drop_tunnel(d, event.number, event.end.value, event.detail)


@to()
def closed_late(d: Draft, event: events.TunnelClosed) -> None:
    """A tunnel that was still open while the session drains ended by itself."""
    tunnel = d.session.tunnel(event.number)
    if tunnel is None:
        return
    if event.end is End.ENDPOINT:
        d.want(Cut(tunnel.number, d.session.reason))
    drop_tunnel(d, event.number, event.end.value, event.detail)


LATE = (TunnelPhase.CLOSING, TunnelPhase.UNREACHED)


def cut_by_endpoint(tunnel: Tunnel) -> Cut:
    """Let a client go whose endpoint closed, or was never reached."""
    open_ = tunnel.phase in (TunnelPhase.OPEN, TunnelPhase.CLOSING)
    return Cut(tunnel.number, None if open_ else Code.UNREACHABLE)


@to(State.READY)
def no_exit_came(d: Draft, event: events.Due) -> None:
    """The program lives on and only closed this connection."""
    d.disarm(Deadline.EXIT)
    for tunnel in d.session.tunnels:
        if tunnel.phase in LATE:
            d.want(cut_by_endpoint(tunnel))
            drop_tunnel(d, tunnel.number, End.ENDPOINT.value, tunnel.phase.value)


@to(State.STOPPING)
def client_done(d: Draft, event: events.ClientDone) -> None:
    """The client has what it wanted; the program may end by itself first."""
    stop(d, Reason.FINISHED, announced=True)
    close_stdin(d)


# -- deadlines -------------------------------------------------------------------------------------------------------


@to()
def extend(d: Draft, event: events.Extend) -> None:
    """Push a reclaim deadline, never beyond what the service allows and never nearer."""
    session, limits = d.session, d.session.plan.limits
    armed = session.deadlines.get(event.deadline)
    if event.deadline not in RECLAIMS or armed is None:
        raise Refused(Code.NOT_ACCEPTING, f"no deadline {event.deadline.value} is running")
    if event.deadline is Deadline.LIFETIME:
        cap = session.created_at + (limits.lifetime_cap_s or limits.lifetime_s)
    else:
        cap = session.deadlines[Deadline.LIFETIME]
    at = max(armed, min(event.at, cap))
    if at > armed:
        d.arm_at(event.deadline, at)
        d.tell(FactType.EXTENDED, deadline=event.deadline.value, at=at)


@to()
def set_deadline(d: Draft, event: events.SetDeadline) -> None:
    """A dialect moves its own deadline; the lifetime can be moved but never cleared."""
    limits = d.session.plan.limits
    if event.deadline is Deadline.LIFETIME and event.at is not None:
        cap = d.session.created_at + (limits.lifetime_cap_s or limits.lifetime_s)
        d.arm_at(Deadline.LIFETIME, min(event.at, cap))
    elif event.deadline is Deadline.SETUP:
        d.arm_at(Deadline.SETUP, event.at)
    else:
        raise Refused(Code.NOT_ACCEPTING, f"the deadline {event.deadline.value} can't be set so")


@to(State.STOPPING)
def idle_due(d: Draft, event: events.Due) -> None:
    """No byte from any client for too long, unless one came that only memory knew of."""
    limits = d.session.plan.limits
    if limits.idle_s is None:
        d.disarm(Deadline.IDLE)
    elif event.seen_at is not None and event.seen_at + limits.idle_s > d.now:
        d.arm_at(Deadline.IDLE, event.seen_at + limits.idle_s)
    else:
        stop(d, Reason.IDLE)


@to()
def warn(d: Draft, event: events.Due) -> None:
    """Tell that a reclaim is near, unless the client was active meanwhile."""
    limits, idle_at = d.session.plan.limits, d.session.deadlines.get(Deadline.IDLE)
    if idle_at is not None and limits.idle_s is not None and event.seen_at is not None:
        d.arm_at(Deadline.IDLE, max(idle_at, event.seen_at + limits.idle_s))
    name, at = next_reclaim(d.session.deadlines)
    if name is not None and limits.warning_s is not None and at - limits.warning_s <= d.now:
        d.set(warned_of=at)
        d.tell(FactType.WARNING, deadline=name.value, at=at)


def next_reclaim(deadlines: Any) -> tuple[Deadline | None, float]:
    """Give the reclaim that comes first, and when."""
    armed = [(deadlines[name], name) for name in RECLAIMS if name in deadlines]
    at, name = min(armed, key=lambda pair: pair[0], default=(float("inf"), None))
    return name, at


@to()
def step_due(d: Draft, event: events.Due) -> None:
    """The step did not do it: take the next."""
    next_step(d)


@to()
def forget(d: Draft, event: events.Due) -> None:
    """The record is old enough, once nothing is leased in its name any more."""
    if d.session.leases:
        d.arm(Deadline.RETENTION, d.session.plan.limits.retention_s or 1.0)
    else:
        d.tell(FactType.FORGOTTEN)
        d.disarm(Deadline.RETENTION)


# -- the daemon itself -----------------------------------------------------------------------------------------------


@to(State.ENDED)
def restarted_waiting(d: Draft, event: events.Restarted) -> None:
    """Callers of the last run are gone; a reservation that somebody can come back to begins anew."""
    had_callers = bool(d.session.callers)
    d.set(callers=())
    renew(d)
    if had_callers and d.session.key is None:
        end(d, Reason.CALLER_GONE)


@to(State.READY)
def restarted_running(d: Draft, event: events.Restarted) -> None:
    """Callers and tunnels of the last run are gone; the program may still be there."""
    for tunnel in d.session.tunnels:
        d.tell(FactType.TUNNEL_CLOSED, tunnel=tunnel.number, end="ours", detail="restart")
    d.set(callers=(), tunnels=())
    renew(d)
    if d.session.state is State.CONNECTED:
        await_client(d)


@to()
def restarted_stopping(d: Draft, event: events.Restarted) -> None:
    """Go on with the step that was being taken."""
    entry = next((e for e in d.session.plan.stop if e.step is d.session.step), Stop(StopStep.KILL, 5.0))
    d.set(tunnels=(), callers=())
    take_step(d, entry)


@to()
def restarted_ended(d: Draft, event: events.Restarted) -> None:
    """Go on testing whether what was leased is free."""
    if d.session.leases:
        d.want(FreeLeases(d.session.leases))


def renew(d: Draft) -> None:
    """Begin every deadline anew, but for ``lifetime`` (a stopped daemon kills nobody, and makes nobody immortal)."""
    limits = d.session.plan.limits
    full = {
        Deadline.QUEUE: limits.queue_s,
        Deadline.RESERVATION: limits.reservation_s,
        Deadline.LAUNCH: limits.launch_s,
        Deadline.CONNECT: limits.connect_s,
        Deadline.LINGER: limits.linger_s,
        Deadline.WARM: limits.warm_s,
        Deadline.SETUP: limits.setup_s,
        Deadline.LIVELINESS: limits.suspect_s or limits.liveliness_s,
    }
    d.disarm(Deadline.ANSWER, Deadline.EXIT, Deadline.IDLE)
    for name in tuple(d.session.deadlines):
        if name in full:
            d.arm(name, full[name])
    if Deadline.LIVELINESS in d.session.deadlines:
        d.set(reported_at=d.now, suspect=False)


@to()
def postpone(d: Draft, event: events.Resumed) -> None:
    """Move every deadline on by the time that the daemon was stopped, but for the lifetime."""
    moved = {n: at if n is Deadline.LIFETIME else at + event.gap_s for n, at in d.session.deadlines.items()}
    d.set(deadlines=moved)
    if Deadline.LIVELINESS in moved and d.session.reported_at is not None:
        d.set(reported_at=d.session.reported_at + event.gap_s)
    d.set(callers=tuple(evolve(caller, until=caller.until + event.gap_s) for caller in d.session.callers))


@to()
def shutdown_again(d: Draft, event: events.Shutdown) -> None:
    """The daemon's time to stop is over: kill at once."""
    if event.kill and d.session.step not in (StopStep.KILL, StopStep.STUCK):
        take_step(d, Stop(StopStep.KILL, 5.0))
    elif event.kill:
        d.want(Halt(StopStep.KILL))


def settle(d: Draft) -> None:
    """What holds after every step: a warning is due before the next reclaim that was not warned of yet."""
    before_s, (name, at) = d.session.plan.limits.warning_s, next_reclaim(d.session.deadlines)
    live = d.session.state not in (State.STOPPING, State.ENDED)
    wanted = live and before_s is not None and name is not None and at != d.session.warned_of
    due = at - before_s if wanted and before_s is not None else None
    if due != d.session.deadlines.get(Deadline.WARNING):
        d.arm_at(Deadline.WARNING, due)
