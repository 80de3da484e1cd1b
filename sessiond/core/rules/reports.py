"""The child's own reports, and its silence."""

from __future__ import annotations

from sessiond.core import events
from sessiond.core.draft import Draft, stop, watch_liveliness
from sessiond.core.facts import FactType
from sessiond.core.rules.program import ready
from sessiond.core.rules.rule import to
from sessiond.core.values import Deadline, Liveliness, Reason, State


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
