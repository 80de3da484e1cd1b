"""Facts: what has happened to a session, as others may know it. No secret ever stands in one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import field, frozen


class FactType(Enum):
    """Every kind of fact; the value is its name outside."""

    QUEUED = "session.queued"
    RESERVED = "session.reserved"
    CLAIMED = "session.claimed"
    LAUNCHING = "session.launching"
    READY = "session.ready"
    SUSPECT = "session.suspect"
    RECOVERED = "session.recovered"
    WARNING = "session.warning"
    EXTENDED = "session.extended"
    STOPPING = "session.stopping"
    STUCK = "session.stuck"
    ENDED = "session.ended"
    FORGOTTEN = "session.forgotten"
    TUNNEL_OPENED = "tunnel.opened"
    TUNNEL_CLOSED = "tunnel.closed"
    PORT_TAKEN = "port.taken"


@frozen
class Meaning:
    """What a kind of fact says.

    :ivar text: when it is told.
    :ivar data: what stands in its data beside what every fact has, by name.
    """

    text: str
    data: Mapping[str, str] = field(factory=dict)


_TUNNEL = {"tunnel": "its number"}
_DEADLINE = {"deadline": "its name", "at": "the instant that it has now, in epoch seconds"}
_WHY = {"reason": "its code", "cause": "in words, or null"}

MEANINGS: Mapping[FactType, Meaning] = {
    FactType.QUEUED: Meaning("no slot is free, and the session waits for one"),
    FactType.RESERVED: Meaning("the session has a slot", {"slot": "its number"}),
    FactType.CLAIMED: Meaning("a warm session is somebody's now, or a repeated request has given it a new token"),
    FactType.LAUNCHING: Meaning("its program is being started"),
    FactType.READY: Meaning("its program can be used"),
    FactType.SUSPECT: Meaning("its program has not reported for too long"),
    FactType.RECOVERED: Meaning("its program, which was suspect, has reported again"),
    FactType.WARNING: Meaning("it is about to be taken back, unless it is extended", _DEADLINE),
    FactType.EXTENDED: Meaning("a deadline was pushed on", _DEADLINE),
    FactType.STOPPING: Meaning("it is being ended", _WHY),
    FactType.STUCK: Meaning("its program can't be killed; its slot is held until it is gone"),
    FactType.ENDED: Meaning(
        "nothing of it is left", {**_WHY, "exit_code": "of its program, or null", "signal": "that ended it, or null"}
    ),
    FactType.FORGOTTEN: Meaning("its record was deleted"),
    FactType.TUNNEL_OPENED: Meaning("a client was let in", _TUNNEL),
    FactType.TUNNEL_CLOSED: Meaning(
        "a client's connection has ended",
        {**_TUNNEL, "end": "which side has ended it", "detail": "how, in a few words"},
    ),
    FactType.PORT_TAKEN: Meaning("a stranger listens on the port that it had leased", {"port": "its number"}),
}
"""What each kind of fact says; the documents' table and the client's types are made of it."""

Datum = str | int | float | bool | None


@frozen
class Fact:
    """One thing that happened; ``at`` is in epoch seconds, ``version`` is the session's after it."""

    type: FactType
    session_id: str
    service: str
    owner: str
    at: float
    version: int
    data: Mapping[str, Datum] = field(factory=dict)


@frozen
class StoredFact:
    """A fact with its place in the store's history; ``offset`` only grows."""

    offset: int
    fact: Fact


@frozen
class History:
    """What a store has of the facts that it was given.

    :ivar epoch: tells its offsets from those of another store; another one once an older copy was put in its place.
    :ivar oldest: the offset of the oldest fact that is kept; ``newest + 1`` where none is.
    :ivar newest: the greatest offset that was given; 0 where none was.
    """

    epoch: str
    oldest: int
    newest: int


@frozen
class CloudEvent:
    """One event, as CloudEvents 1.0 has it: a fact as it is told outside, or what others tell.

    :ivar id: unique within ``source``; a duplicate carries the same.
    :ivar time: epoch seconds; ``None`` where nobody said when it happened.
    :ivar data: whatever JSON can say.
    :ivar extensions: further attributes of the event by name.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: float | None = None
    data: Any = None
    extensions: Mapping[str, str | int | bool] = field(factory=dict)
