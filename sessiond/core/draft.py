"""The scratchpad of one step, and what entering each state means."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from sessiond.core.effects import Answer, Cut, Dial, Effect, FreeLeases, Halt, Launch, Offer, TakeLeases, Tidy, Verdict
from sessiond.core.errors import Code
from sessiond.core.facts import Datum, Fact, FactType
from sessiond.core.services import Stop
from sessiond.core.session import Session, TunnelPhase
from sessiond.core.values import Clients, Deadline, Exit, Reason, State, Stdio, StopStep, Watch

STUCK_S = 30.0
"""How often a tree that will not die is reported and killed again."""
EXIT_WAIT_S = 1.0
"""How long a client whose endpoint closed is kept until the program's exit can name the reason."""

RECLAIMS = (Deadline.RESERVATION, Deadline.CONNECT, Deadline.LINGER, Deadline.IDLE, Deadline.LIFETIME)
"""The deadlines that take a session from its user: those are warned of, and those can be extended."""


class Draft:
    """A session in the middle of one step: the next session, the facts and the effects so far."""

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.now = now
        self.facts: list[tuple[FactType, dict[str, Datum]]] = []
        self.effects: list[Effect] = []

    def set(self, **fields: Any) -> None:
        """Give fields of the next session their values."""
        self.session = evolve(self.session, **fields)

    def tell(self, fact: FactType, **data: Datum) -> None:
        """Add a fact that this step makes true."""
        self.facts.append((fact, data))

    def want(self, *effects: Effect) -> None:
        """Add effects, to be performed in this order once the step is saved."""
        self.effects.extend(effects)

    def arm(self, deadline: Deadline, seconds: float | None) -> None:
        """Set a deadline ``seconds`` from now; ``None`` clears it."""
        self.arm_at(deadline, None if seconds is None else self.now + seconds)

    def arm_at(self, deadline: Deadline, at: float | None) -> None:
        """Set a deadline to an instant; ``None`` clears it."""
        deadlines = {name: when for name, when in self.session.deadlines.items() if name is not deadline}
        if at is not None:
            deadlines[deadline] = at
        self.set(deadlines=deadlines)

    def disarm(self, *names: Deadline) -> None:
        """Clear these deadlines."""
        self.set(deadlines={name: at for name, at in self.session.deadlines.items() if name not in names})

    def stored_facts(self) -> list[Fact]:
        """Give the facts as values, stamped with the session as it is at the end of the step."""
        s = self.session
        return [Fact(t, s.id, s.service, s.owner, self.now, s.version, data) for t, data in self.facts]


def answer(d: Draft, verdict: Verdict) -> None:
    """Answer every waiting caller; none waits any longer."""
    d.want(*(Answer(caller.number, verdict) for caller in d.session.callers))
    d.set(callers=())
    d.disarm(Deadline.ANSWER)


def launch(d: Draft) -> None:
    """Enter ``launching``; what the program needs is leased first."""
    d.set(state=State.LAUNCHING)
    d.disarm(Deadline.RESERVATION, Deadline.QUEUE)
    d.arm(Deadline.LAUNCH, d.session.plan.limits.launch_s)
    d.tell(FactType.LAUNCHING)
    d.want(TakeLeases(d.session.plan.leases) if d.session.plan.leases else Launch())


def await_client(d: Draft) -> None:
    """Enter ``ready``: nobody is connected, and somebody must come within a time."""
    session, limits = d.session, d.session.plan.limits
    d.set(state=State.READY)
    d.disarm(Deadline.LAUNCH, Deadline.IDLE, Deadline.EXIT, Deadline.CONNECT, Deadline.LINGER, Deadline.WARM)
    if not session.claimed:
        d.arm(Deadline.WARM, limits.warm_s)
    elif session.plan.watch is Watch.TUNNEL:
        d.arm(*((Deadline.LINGER, limits.linger_s) if session.served else (Deadline.CONNECT, limits.connect_s)))


def connect(d: Draft) -> None:
    """Enter ``connected``: every waiting client is dialled."""
    d.set(state=State.CONNECTED)
    d.disarm(Deadline.LAUNCH, Deadline.CONNECT, Deadline.LINGER, Deadline.WARM)
    dial_waiting(d, retry=False)


def dial_waiting(d: Draft, *, retry: bool) -> None:
    """Dial for every client that waits."""
    for tunnel in d.session.tunnels:
        if tunnel.phase is TunnelPhase.WAITING:
            d.set(tunnels=d.session.with_phase(tunnel.number, TunnelPhase.DIALLING))
            d.want(Dial(tunnel.number, retry))


def watch_liveliness(d: Draft) -> None:
    """From now on the child must report, where its service says so."""
    limits = d.session.plan.limits
    if limits.liveliness_s is not None:
        d.set(reported_at=d.session.reported_at or d.now)
        d.arm(Deadline.LIVELINESS, limits.suspect_s or limits.liveliness_s)


def drop_tunnel(d: Draft, number: int, end: str, detail: str) -> None:
    """Forget one tunnel; the session goes back to ``ready`` when it was the last."""
    d.set(tunnels=d.session.without(number))
    d.tell(FactType.TUNNEL_CLOSED, tunnel=number, end=end, detail=detail)
    if d.session.state is State.CONNECTED and not d.session.tunnels:
        await_client(d)


def evict(d: Draft) -> None:
    """Make room for a newcomer where the service says that the newcomer wins."""
    for tunnel in d.session.tunnels if d.session.plan.clients is Clients.TAKEOVER else ():
        d.want(Cut(tunnel.number, Code.ALREADY_CONNECTED))
        d.set(tunnels=d.session.without(tunnel.number))
        d.tell(FactType.TUNNEL_CLOSED, tunnel=tunnel.number, end="ours", detail="taken over")


def stop(d: Draft, reason: Reason, cause: str = "", *, announced: bool = False, asked: bool | None = None) -> None:
    """Enter ``stopping`` at the gentlest step that still makes sense.

    :param announced: the program or its client said that it ends; only then is there something to drain.
    :param asked: whether somebody is there who can be asked; by default, once the program was ready: before that,
        it is busy with its start, or is not there.
    """
    d.set(state=State.STOPPING, reason=reason, cause=cause, announced=announced, suspect=False)
    d.set(deadlines={})
    d.tell(FactType.STOPPING, reason=reason.value, cause=cause or None)
    answer(d, Verdict.ENDED)
    skipped = set() if announced else {StopStep.DRAIN}
    if not (d.session.endpoint is not None if asked is None else asked):
        skipped.add(StopStep.ASK)
    entries = [entry for entry in d.session.plan.stop if entry.step not in skipped]
    take_step(d, entries[0] if entries else Stop(StopStep.KILL, STUCK_S))


def take_step(d: Draft, entry: Stop) -> None:
    """Begin one stop step; tunnels stay open during ``drain`` only."""
    d.set(step=entry.step)
    d.arm(Deadline.STEP, entry.seconds)
    if entry.step is not StopStep.DRAIN:
        cut_all(d)
    d.want(Halt(entry.step))


def next_step(d: Draft) -> None:
    """Go on to the next harder stop step; past the last one the session is stuck."""
    entries = d.session.plan.stop
    done = next((i for i, entry in enumerate(entries) if entry.step is d.session.step), len(entries) - 1)
    if done + 1 < len(entries) and d.session.step is not StopStep.STUCK:
        take_step(d, entries[done + 1])
    else:
        d.tell(FactType.STUCK)
        take_step(d, Stop(StopStep.STUCK, STUCK_S))


def cut_all(d: Draft) -> None:
    """Cut every tunnel, once; what the program has sent is delivered first."""
    for tunnel in d.session.tunnels:
        d.want(Cut(tunnel.number, d.session.reason, d.session.plan.limits.flush_s))
        d.tell(FactType.TUNNEL_CLOSED, tunnel=tunnel.number, end="ours", detail="session ended")
    d.set(tunnels=())


def end(d: Draft, reason: Reason | None = None, cause: str = "") -> None:
    """Enter ``ended``: the slot is free, secrets are void, leases stay until they were shown to be free."""
    session = d.session
    d.set(reason=session.reason or reason, cause=session.cause or cause)
    cut_all(d)
    answer(d, Verdict.ENDED)
    if session.state.holds_slot:
        d.want(Offer())
    d.set(state=State.ENDED, step=None, token_digest=b"", child_secret="", nonce="", endpoint=None, suspect=False)
    d.set(deadlines={})
    d.arm(Deadline.RETENTION, session.plan.limits.retention_s)
    if session.leases:
        d.want(FreeLeases(session.leases))
    d.want(Tidy())
    exit_ = d.session.exit or Exit()
    why = d.session.reason
    d.tell(FactType.ENDED, reason=why.value if why else None, cause=d.session.cause or None,
           exit_code=exit_.code, signal=exit_.signal)  # fmt: skip


def close_stdin(d: Draft) -> None:
    """A child that is spoken to over its standard input learns at once that no more will come."""
    if isinstance(d.session.endpoint, Stdio):
        d.want(Halt(StopStep.ASK))
