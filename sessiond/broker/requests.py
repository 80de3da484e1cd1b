"""What callers bring to the broker, and what they take away."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen
from twisted.internet.defer import Deferred

from sessiond.core.effects import Verdict
from sessiond.core.session import Session
from sessiond.ports import Tell


@frozen
class Request:
    """What a caller wants.

    :ivar wait_s: how long the caller waits for the session to be ready; ``None`` not at all.
    :ivar patient: whether its wire can say "later" when that time is over.
    :ivar key: its Idempotency-Key.
    :ivar queues: whether it would wait for a slot, where its service lets callers wait.
    :ivar short: whether its token is a UUID, as some wires have them, and not the usual.
    :ivar session_id: the session's id, where the wire gives ids a form of its own; nobody has had it yet.
    """

    service: str
    owner: str = ""
    options: Mapping[str, object] = field(factory=dict)
    wait_s: float | None = None
    patient: bool = True
    key: str | None = None
    queues: bool = True
    short: bool = False
    session_id: str | None = None


@frozen
class Reservation:
    """What a caller got: the session as saved, its token, and who waits for it to be ready.

    :ivar token: the only time that it is told; empty where a repeated request found its session ended.
    """

    session: Session
    token: str = field(repr=False)
    caller: int | None = None
    answer: Deferred[Verdict] | None = None


@frozen
class Admission:
    """A client that was let in: its number, and where to tell what becomes of its tunnel."""

    session: Session
    number: int
    tell: Tell
