"""The way in: slots, the queue, and callers who wait."""

from __future__ import annotations

from sessiond.core import events
from sessiond.core.draft import Draft, await_client, end, launch, stop
from sessiond.core.effects import Answer, Verdict
from sessiond.core.facts import FactType
from sessiond.core.rules.rule import Rule, to
from sessiond.core.session import Caller
from sessiond.core.values import Deadline, LaunchWhen, Reason, State


@to(State.QUEUED, State.RESERVED, State.LAUNCHING)
def reserve(d: Draft, event: events.Reserve) -> None:
    """Take the slot or a place in the queue; launch where somebody waits or the service says so."""
    limits = d.session.plan.limits
    d.arm(Deadline.LIFETIME, limits.lifetime_s)
    d.arm(Deadline.SETUP, limits.setup_s)
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
    d.set(state=State.RESERVED, slot=slot, held_since=d.now)
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
