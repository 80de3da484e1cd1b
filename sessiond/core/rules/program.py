"""What a program does, and what that makes of its session."""

from __future__ import annotations

from sessiond.core import events
from sessiond.core.draft import Draft, answer, await_client, connect, dial_waiting, end, stop, watch_liveliness
from sessiond.core.effects import Launch, Verdict
from sessiond.core.facts import FactType
from sessiond.core.rules.rule import to
from sessiond.core.session import TunnelPhase
from sessiond.core.values import Exit, Reason, State


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
    """The program could not be started; what it began is cleaned up by it, if it lives."""
    stop(d, event.reason, event.cause, asked=event.lives)


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
        stop(d, Reason.LAUNCH_FAILED, f"the program {describe(event.exit)} before it was ready", asked=False)
    else:
        stop(d, Reason.LOST)


@to(State.STOPPING)
def exited(d: Draft, event: events.Exited) -> None:
    """The program ended by itself, or was lost.

    One that was lost may live. Its standard input closed with the daemon that had it, so it was asked already; where
    its service gives that a time, it has that time.
    """
    note_exit(d, event)
    reason = Reason.LOST if not event.exit.known else Reason.EXITED if event.exit.clean else Reason.CRASHED
    asked = reason is Reason.LOST
    stop(d, reason, f"the program {describe(event.exit)}" if reason is Reason.CRASHED else "", asked=asked)


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
