"""The transition table, and the one function that changes a session.

A row is an event, or a deadline that is due, and says for each state what that does. A state that a row does not name
can't meet it: if it does, that is a defect of ours, and :class:`NoTransition` says where. The
diagram in ``docs/states.rst`` is drawn from this table.
"""

from __future__ import annotations

from attrs import frozen

from sessiond.core import events, rules
from sessiond.core.draft import Draft
from sessiond.core.effects import Effect, Verdict
from sessiond.core.errors import Code, NoTransition
from sessiond.core.events import Event
from sessiond.core.facts import Fact
from sessiond.core.rules import SAME, Rule, ending, refuse, stopping
from sessiond.core.session import Session
from sessiond.core.values import Deadline, Reason, State

QUEUED, RESERVED, LAUNCHING, READY, CONNECTED, STOPPING, ENDED = State
WAITING, SERVING, OVER = (QUEUED, RESERVED), (READY, CONNECTED), (STOPPING, ENDED)
RUNNING = (LAUNCHING, *SERVING)
LIVE = (*WAITING, *RUNNING)
Row = dict[tuple[State, ...], Rule]
RowKey = type[Event] | Deadline

CLOSED = refuse(Code.NOT_ACCEPTING, "the session does not accept this any more")
EARLY = refuse(Code.NOT_ACCEPTING, "the session has no place yet")
WAITED = rules.answer_at_once(Verdict.READY)
TOO_LATE = rules.answer_at_once(Verdict.ENDED)
TIMED_OUT = stopping(Reason.LAUNCH_TIMEOUT)
RELEASED, STOPPED = stopping(Reason.RELEASED), stopping(Reason.SHUTDOWN)
AGED, EXPIRED = stopping(Reason.LIFETIME), ending(Reason.LIFETIME)
UNSET, SETUP_OVER = ending(Reason.SETUP_TIMEOUT), stopping(Reason.SETUP_TIMEOUT)

ROWS: dict[RowKey, Row] = {
    events.Granted: {(QUEUED,): rules.grant},
    events.Claim: {LIVE: rules.claim, OVER: CLOSED},
    events.CallerWaits: {
        (QUEUED, LAUNCHING): rules.wait_more,
        (RESERVED,): rules.wait_and_launch,
        SERVING: WAITED,
        OVER: TOO_LATE,
    },
    events.CallerGone: {
        (QUEUED,): rules.caller_left.leading_to(ENDED),
        (LAUNCHING,): rules.caller_left.leading_to(STOPPING),
        (RESERVED, READY, CONNECTED, STOPPING, ENDED): SAME,
    },
    events.Leased: {(LAUNCHING,): rules.leased, OVER: SAME},
    events.Started: {(LAUNCHING, STOPPING): rules.started, (READY, CONNECTED, ENDED): SAME},
    events.Failed: {RUNNING: rules.failed, OVER: SAME},
    events.Ready: {(LAUNCHING,): rules.ready, (READY, CONNECTED, STOPPING, ENDED): SAME},
    events.Report: {
        (QUEUED, RESERVED, ENDED): CLOSED,
        (LAUNCHING,): rules.report_early,
        SERVING: rules.report,
        (STOPPING,): SAME,
    },
    events.TunnelOpened: {
        (QUEUED,): EARLY,
        (RESERVED,): rules.open_and_launch,
        (LAUNCHING,): rules.open_and_wait,
        SERVING: rules.open_,
        OVER: CLOSED,
    },
    events.Dialled: {(LAUNCHING,): rules.dialled_early, (READY, STOPPING, ENDED): SAME, (CONNECTED,): rules.dialled},
    events.TunnelClosed: {
        (LAUNCHING,): rules.closed_early,
        (READY, ENDED): SAME,
        (CONNECTED,): rules.closed,
        (STOPPING,): rules.closed_late,
    },
    events.ClientDone: {(QUEUED, RESERVED, LAUNCHING): CLOSED, SERVING: rules.client_done, OVER: SAME},
    events.Extend: {(QUEUED, STOPPING, ENDED): CLOSED, (RESERVED, LAUNCHING, READY, CONNECTED): rules.extend},
    events.SetDeadline: {LIVE: rules.set_deadline, OVER: SAME},
    events.Release: {WAITING: ending(Reason.RELEASED), RUNNING: RELEASED, OVER: SAME},
    events.Exited: {
        (LAUNCHING,): rules.exited_early,
        SERVING: rules.exited,
        (STOPPING,): rules.note_exit,
        (ENDED,): SAME,
    },
    events.Gone: {(LAUNCHING, READY, CONNECTED, STOPPING): rules.gone, (ENDED,): SAME},
    events.PortTaken: {(LAUNCHING,): rules.port_taken, (READY, CONNECTED, STOPPING, ENDED): SAME},
    events.PortsFree: {(ENDED,): rules.ports_free},
    events.Restarted: {
        (QUEUED,): rules.restarted_waiting,
        (RESERVED,): rules.restarted_waiting.leading_to(),
        (LAUNCHING, READY): rules.restarted_running.leading_to(),
        (CONNECTED,): rules.restarted_running,
        (STOPPING,): rules.restarted_stopping,
        (ENDED,): rules.restarted_ended,
    },
    events.Resumed: {(QUEUED, RESERVED, LAUNCHING, READY, CONNECTED, STOPPING): rules.postpone, (ENDED,): SAME},
    events.Shutdown: {
        WAITING: ending(Reason.SHUTDOWN),
        RUNNING: STOPPED,
        (STOPPING,): rules.shutdown_again,
        (ENDED,): SAME,
    },
    Deadline.QUEUE: {(QUEUED,): ending(Reason.QUEUE_TIMEOUT)},
    Deadline.RESERVATION: {(RESERVED,): ending(Reason.RESERVATION_EXPIRED)},
    Deadline.LAUNCH: {(LAUNCHING,): TIMED_OUT},
    Deadline.CONNECT: {(READY,): stopping(Reason.UNUSED)},
    Deadline.LINGER: {(READY,): stopping(Reason.LINGERED)},
    Deadline.WARM: {(READY,): stopping(Reason.UNUSED)},
    Deadline.IDLE: {(CONNECTED,): rules.idle_due},
    Deadline.EXIT: {(CONNECTED,): rules.no_exit_came},
    Deadline.STEP: {(STOPPING,): rules.step_due},
    Deadline.LIFETIME: {WAITING: EXPIRED, RUNNING: AGED},
    Deadline.LIVELINESS: {SERVING: rules.silence},
    Deadline.SETUP: {WAITING: UNSET, RUNNING: SETUP_OVER},
    Deadline.ANSWER: {
        (QUEUED,): rules.answer_due.leading_to(ENDED),
        (LAUNCHING,): rules.answer_due.leading_to(STOPPING),
    },
    Deadline.WARNING: {LIVE: rules.warn},
    Deadline.RETENTION: {(ENDED,): rules.forget},
}

TABLE: dict[tuple[State | None, RowKey], Rule] = {(None, events.Reserve): rules.reserve} | {
    (state, key): rule for key, row in ROWS.items() for states, rule in row.items() for state in states
}
"""Every pair that can happen; ``None`` is the state of a session that is not there yet."""


@frozen
class Outcome:
    """What one step led to; ``session`` is ``None`` once the session is forgotten."""

    session: Session | None
    facts: tuple[Fact, ...] = ()
    effects: tuple[Effect, ...] = ()


def create(blank: Session, event: events.Reserve, now: float) -> Outcome:
    """Begin the life of a session.

    :param blank: the session with what is known before it has a place; its state is not read.
    :param now: epoch seconds.
    """
    return _apply(TABLE[None, events.Reserve], blank, event, now)


def step(session: Session, event: Event, now: float) -> Outcome:
    """Say what an event makes of a session; nothing is changed in place and nothing is performed.

    :param now: epoch seconds.
    :raises Refused: the event is turned away; the session stays as it is.
    :raises NoTransition: the event can't happen in this state.
    """
    key: RowKey = event.deadline if isinstance(event, events.Due) else type(event)
    rule = TABLE.get((session.state, key))
    if rule is None:
        name = key.value if isinstance(key, Deadline) else key.__name__
        raise NoTransition(f"{name} in state {session.state.value}")
    return _apply(rule, session, event, now)


def _apply(rule: Rule, before: Session, event: Event, now: float) -> Outcome:
    draft = Draft(before, now)
    rule(draft, event)
    rules.settle(draft)
    if draft.session == before and not draft.facts:
        return Outcome(before, (), tuple(draft.effects))
    draft.set(version=before.version + 1)
    if draft.session.state is not before.state:
        draft.set(since=now)
    facts = tuple(draft.stored_facts())
    forgotten = draft.session.state is State.ENDED and not draft.session.deadlines
    return Outcome(None if forgotten else draft.session, facts, tuple(draft.effects))
