"""The daemon itself: it began anew, stood still, or stops."""

from __future__ import annotations

from attrs import evolve

from sessiond.core import events
from sessiond.core.draft import Draft, await_client, end, take_step
from sessiond.core.effects import FreeLeases, Halt
from sessiond.core.facts import FactType
from sessiond.core.rules.limits import next_reclaim
from sessiond.core.rules.rule import to
from sessiond.core.services import Stop
from sessiond.core.values import Deadline, Reason, State, StopStep


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
    """A stop of the daemon changes nothing for what is ending already, until its time is over: then it is killed."""
    if event.kill and d.session.step not in (StopStep.KILL, StopStep.STUCK):
        take_step(d, Stop(StopStep.KILL, 5.0))
    elif event.kill:
        d.want(Halt(StopStep.KILL))


def settle(d: Draft) -> None:
    """What holds after every step: a warning is due before the next reclaim that was not warned of yet."""
    before_s, (name, at) = d.session.plan.limits.warning_s, next_reclaim(d.session.deadlines)
    live = d.session.state not in (State.STOPPING, State.ENDED)
    wanted = live and before_s is not None and name is not None and at != d.session.warned_of.get(name)
    due = at - before_s if wanted and before_s is not None else None
    if due != d.session.deadlines.get(Deadline.WARNING):
        d.arm_at(Deadline.WARNING, due)
