"""Clients: let in, carried to the program, and gone."""

from __future__ import annotations

from sessiond.core import events
from sessiond.core.draft import (
    EXIT_WAIT_S,
    Draft,
    close_stdin,
    connect,
    dial_waiting,
    drop_tunnel,
    evict,
    launch,
    stop,
)
from sessiond.core.effects import Cut
from sessiond.core.errors import Code, Refused
from sessiond.core.facts import FactType
from sessiond.core.rules.program import accept
from sessiond.core.rules.rule import to
from sessiond.core.session import LATE, Tunnel, TunnelPhase
from sessiond.core.values import Deadline, End, Reason, State, Stdio


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
    d.set(served=True)
    d.arm(Deadline.IDLE, limits.idle_s)
    d.tell(FactType.TUNNEL_OPENED, tunnel=event.number)


@to(State.READY)
def closed_early(d: Draft, event: events.TunnelClosed) -> None:
    """A client left while the program was starting."""
    tunnel = d.session.tunnel(event.number)
    if tunnel is None:
        return
    if event.end in ENDPOINT:
        d.want(cut_by_endpoint(tunnel))
    drop_tunnel(d, event.number, event.end.value, event.detail)
    if not d.session.tunnels and d.session.endpoint is not None:
        accept(d)


@to(State.READY, State.STOPPING)
def closed(d: Draft, event: events.TunnelClosed) -> None:
    """A tunnel ended. Where the endpoint closed it, the program may be dying: its exit may name the reason yet.

    A program whose own output is its endpoint and makes no sense has failed, whatever it goes on to do.
    """
    tunnel = d.session.tunnel(event.number)
    if tunnel is None:
        return
    if event.end is End.BROKEN and isinstance(d.session.endpoint, Stdio):
        drop_tunnel(d, event.number, event.end.value, event.detail)
        stop(d, Reason.CRASHED, event.detail, asked=False)
        return
    if event.end in ENDPOINT and d.session.program is not None and tunnel.phase not in LATE:
        phase = TunnelPhase.CLOSING if tunnel.phase is TunnelPhase.OPEN else TunnelPhase.UNREACHED
        d.set(tunnels=d.session.with_phase(event.number, phase))
        d.arm(Deadline.EXIT, EXIT_WAIT_S)
        return
    if event.end in ENDPOINT:
        d.want(cut_by_endpoint(tunnel))
    drop_tunnel(d, event.number, event.end.value, event.detail)


@to()
def closed_late(d: Draft, event: events.TunnelClosed) -> None:
    """A tunnel that was still open while the session drains ended by itself."""
    tunnel = d.session.tunnel(event.number)
    if tunnel is None:
        return
    if event.end in ENDPOINT:
        d.want(Cut(tunnel.number, d.session.reason))
    drop_tunnel(d, event.number, event.end.value, event.detail)


ENDPOINT = (End.ENDPOINT, End.BROKEN)


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
