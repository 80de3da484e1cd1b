"""Facts: what has happened to a session, as others may know it. No secret ever stands in one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

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
