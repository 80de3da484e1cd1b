"""A session: one use of a service, as a value."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from enum import Enum

from attrs import evolve, field, frozen

from sessiond.core.services import Plan, Scalar
from sessiond.core.values import Clients, Deadline, Endpoint, Exit, Lease, Program, Reason, State, StopStep


class TunnelPhase(Enum):
    """How far one tunnel of a session has come."""

    WAITING = "waiting"
    DIALLING = "dialling"
    OPEN = "open"
    CLOSING = "closing"
    """The endpoint closed; whether the program is dying is not known yet."""
    UNREACHED = "unreached"
    """The endpoint could not be reached; whether the program is dying is not known yet."""


APPLICATION = b"application"
"""What tells the application secret apart from whatever else may be made of the child's."""

LATE = (TunnelPhase.CLOSING, TunnelPhase.UNREACHED)
"""The phases of tunnels that wait for the program's exit, which may name the reason of their end."""


@frozen
class Tunnel:
    """One admitted client; ``number`` is unique within the run of the daemon."""

    number: int
    phase: TunnelPhase


@frozen
class Caller:
    """Somebody who waits for the session to be ready.

    :ivar until: the instant (epoch seconds) at which this caller must have an answer.
    :ivar patient: whether its wire can say "later"; where it can't, the session ends at ``until``.
    """

    number: int
    until: float
    patient: bool = True


@frozen
class Session:
    """One use of a service, from the request to its end. Every instant is in epoch seconds.

    Values are never changed in place: :func:`sessiond.core.machine.step` makes the next one.

    :ivar token_digest: SHA-256 of the session's token; empty once nothing may be opened with it.
    :ivar nonce: marks the processes of this launch in their environment; no secret to the child itself.
    :ivar child_secret: what the child proves itself with when it reports.
    :ivar key: the Idempotency-Key that it was made with, bound to its owner.
    :ivar held_since: since when it has its slot; once it has ended, since when it had it.
    :ivar claimed: somebody asked for it; only a warm session that waits for its user is not claimed.
    :ivar served: a tunnel was open at least once.
    :ivar announced: the end was announced by the program or its client (``disconnect``, ``client-done``).
    :ivar warned_of: the reclaims that were already warned of, each with its instant.
    :ivar version: grows by one with every change.
    """

    id: str
    service: str
    pool: str
    plan: Plan
    created_at: float
    state: State
    since: float
    owner: str = ""
    slot: int | None = None
    held_since: float | None = None
    step: StopStep | None = None
    token_digest: bytes = field(default=b"", repr=False)
    nonce: str = field(default="", repr=False)
    child_secret: str = field(default="", repr=False)
    key: str | None = field(default=None, repr=False)
    claimed: bool = True
    options: Mapping[str, Scalar] = field(factory=dict)
    deadlines: Mapping[Deadline, float] = field(factory=dict)
    callers: tuple[Caller, ...] = ()
    tunnels: tuple[Tunnel, ...] = ()
    leases: tuple[Lease, ...] = ()
    program: Program | None = None
    started: bool = False
    endpoint: Endpoint | None = None
    served: bool = False
    announced: bool = False
    suspect: bool = False
    reported_at: float | None = None
    warned_of: Mapping[Deadline, float] = field(factory=dict)
    reason: Reason | None = None
    cause: str = ""
    exit: Exit | None = None
    tail: tuple[str, ...] = ()
    version: int = 0

    @property
    def application_secret(self) -> str:
        """Give what a client and its program share; made of the child's secret, which does not follow from it."""
        if not self.child_secret:
            return ""
        return hmac.new(self.child_secret.encode(), APPLICATION, hashlib.sha256).hexdigest()[:32]

    @property
    def full(self) -> bool:
        """Say whether another tunnel would be one too many. One whose endpoint has closed only waits to hear why."""
        rule = self.plan.clients
        if rule is Clients.ONCE:
            return self.served or bool(self.tunnels)
        if rule is Clients.TAKEOVER:
            return False
        return sum(tunnel.phase not in LATE for tunnel in self.tunnels) >= int(rule)

    def tunnel(self, number: int) -> Tunnel | None:
        """Give the tunnel with this number, ``None`` where it is not (or no longer) one of ours."""
        return next((tunnel for tunnel in self.tunnels if tunnel.number == number), None)

    def with_phase(self, number: int, phase: TunnelPhase) -> tuple[Tunnel, ...]:
        """Give the tunnels as they are once tunnel ``number`` is in ``phase``."""
        return tuple(evolve(t, phase=phase) if t.number == number else t for t in self.tunnels)

    def without(self, number: int) -> tuple[Tunnel, ...]:
        """Give the tunnels as they are once tunnel ``number`` is gone."""
        return tuple(tunnel for tunnel in self.tunnels if tunnel.number != number)
